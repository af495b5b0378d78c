// Decides when an agent counts as ready for its user.

/** The facts about its readiness that an agent file shows in its source. */
export interface ReadinessTraits {
  /** True for a file that calls ready() itself. Then only that call and an AgentSession count. */
  readonly isByHand: boolean;
  /** True for a file with an AgentSession, which may take its time until that starts. */
  readonly hasSession: boolean;
}

interface Deps extends ReadinessTraits {
  /** The time in ms after which an agent that runs without an AgentSession counts as ready. */
  readonly afterMs: number;
  /** Called once. `awaitingUser`: the file waits for its user, and `onStarted` follows. */
  readonly onReady: (awaitingUser: boolean) => void;
  /** Called once, when the file has its user and serves. */
  readonly onStarted: () => void;
  /** Called when the AgentSession of a file that does not wait for it failed to start, or takes too long. */
  readonly onFailed: (error: unknown) => void;
}

/** The janitor limits the time until an agent is ready. After that, this limit applies. */
const SESSION_START_MS = 30_000;

/**
 * An agent is ready when its AgentSession has started. A file that waits for its user first is ready as soon as it
 * waits: its user comes only once the session is ready. A file without an AgentSession is ready when it is in its room
 * and has returned or runs on for a while.
 */
export class Readiness {
  readonly #deps: Deps;
  #isInRoom = false;
  #isReady = false;
  #isStarted = false;
  #hasReturned = false;
  #timer: NodeJS.Timeout | undefined;
  #lateTimer: NodeJS.Timeout | undefined;
  /** The number of waits for a user. */
  #waits = 0;
  /** The number of AgentSessions that are starting, and that have started. */
  #starting = 0;
  #sessions = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  inRoom(): void {
    this.#isInRoom = true;
    this.#wait();
  }

  /** `entry` has returned. */
  returned(): void {
    this.#hasReturned = true;
    this.#wait();
  }

  /** The file waits for its user. */
  awaitUser(): void {
    this.#waits += 1;
    clearTimeout(this.#timer);
    this.#markReady(true);
  }

  /** A wait for the user is over, with or without the user. */
  userArrived(): void {
    this.#waits -= 1;
    this.#wait();
  }

  sessionStarting(): void {
    this.#starting += 1;
    clearTimeout(this.#timer);
    if (!this.#isReady || this.#sessions > 0) return;
    const late = `the AgentSession did not start within ${SESSION_START_MS / 1000} s`;
    clearTimeout(this.#lateTimer);
    this.#lateTimer = setTimeout(() => this.#deps.onFailed(new Error(late)), SESSION_START_MS);
  }

  sessionStarted(): void {
    this.#starting -= 1;
    this.#sessions += 1;
    clearTimeout(this.#lateTimer);
    this.serves();
  }

  /** An AgentSession did not start. `entry` decides what follows, unless it has returned. */
  sessionFailed(error: unknown): void {
    this.#starting -= 1;
    clearTimeout(this.#lateTimer);
    if (this.#hasReturned && this.#starting === 0 && this.#sessions === 0) this.#deps.onFailed(error);
    else this.#wait();
  }

  /** The file serves its user: its AgentSession has started, or it called ready(). */
  serves(): void {
    clearTimeout(this.#timer);
    this.#markReady(false);
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#deps.onStarted();
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#lateTimer);
  }

  #markReady(awaitingUser: boolean): void {
    if (this.#isReady) return;
    this.#isReady = true;
    if (!awaitingUser) this.#isStarted = true;
    this.#deps.onReady(awaitingUser);
  }

  /** Counts a file without an AgentSession as ready in a while, or at once if `entry` has returned. */
  #wait(): void {
    clearTimeout(this.#timer);
    const { afterMs, hasSession, isByHand } = this.#deps;
    if (!this.#isInRoom || this.#isStarted || isByHand || this.#starting > 0) return;
    if (this.#hasReturned) this.serves();
    else if (!hasSession && this.#waits === 0) this.#timer = setTimeout(() => this.serves(), afterMs);
  }
}

export const readinessTraits = (source: string): ReadinessTraits => ({
  isByHand: callsReady(source),
  hasSession: /\bnew\s+[\w.]*AgentSession\b/.test(source),
});

/** Whether an agent file imports `ready` of greenroom/agent. */
function callsReady(source: string): boolean {
  const byName = /\{[^}]*\bready\b[^}]*\}\s*(?:from|=\s*require\()\s*["']greenroom\/agent["']/;
  const asWhole =
    /(?:\*\s*as\s+|(?:const|let|var)\s+)(\w+)\s*(?:from|=\s*require\()\s*["']greenroom\/agent["']/;
  const name = asWhole.exec(source)?.[1];
  return byName.test(source) || (name !== undefined && new RegExp(`\\b${name}\\.ready\\b`).test(source));
}
