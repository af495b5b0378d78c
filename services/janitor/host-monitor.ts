// Which hosts are silent: each is asked on its own, again and again, so that none waits for another.
import type { Bus } from "../../libs/bus/bus.ts";
import { isError } from "../../libs/contracts/errors.ts";
import { isProviderHost } from "../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { pingCommand } from "../../libs/contracts/streams.ts";
import type { Clock } from "../../libs/runtime/clock.ts";

/** One life of a host, from its registration to its end. */
export interface HostLife {
  readonly hostId: string;
  readonly epoch: number;
}

/** What is held against a host. */
export interface Suspicion {
  /**
   * `gone`: nobody listens on its subject; it is dead, or cut off. `silent`: it listens and doesn't answer.
   * `restarted`: a later life answers in its name.
   */
  readonly kind: "gone" | "silent" | "restarted";
  /**
   * `new`: one question wasn't answered. `sure`: more than a client's reconnect; enough together with agents
   * that don't answer either. `certain`: enough by itself.
   */
  readonly degree: "new" | "sure" | "certain";
  readonly reason: string;
}

/** A host that lives is asked so often, and a fleet of any size no more than 500 times a second. */
const ASK_MS = 100;
const ASK_MS_PER_HOST = 2;
/** A host that dies takes the question in its hands with it; without another one its time-out would be waited for. */
const ASK_ANEW_MS = 150;
/** Whether one that is gone stays gone: the client of one that lives is back soon after 250 ms. */
const CONFIRM_MS = 100;
const GONE_SURE_MS = 200;
const GONE_CERTAIN_MS = 2000;
/** Silences are the length of a ping's time-out, so three of them take longer than this. */
const SILENCES_TO_BE_SURE = 3;
const SILENT_SURE_MS = 1400;
const SILENT_CERTAIN_MS = 3000;
/** A janitor that hears of a ping's time-out so much too late can't tell who was silent, and begins anew. */
const OWN_LAG_MS = 500;
/** One that nobody expects an answer of any more is asked at this pace, in case it was only cut off. */
const LOST_ASK_MS = 500;

/**
 * Every life that matters: the registered ones, and those that sessions still name. A host that was restarted
 * has overwritten its former registration, and nobody else would ever ask after the sessions of that life. A
 * provider has no epoch that could end: the providers service looks after its agents, and its instances after each other.
 */
export function livesOf(hosts: readonly HostLife[], records: readonly SessionRecord[]): HostLife[] {
  const lives = new Map(hosts.map(({ hostId, epoch }) => [nameOf({ hostId, epoch }), { hostId, epoch }]));
  for (const { state, host: hostId, hostEpoch: epoch } of records) {
    if (state === "ended" || hostId === undefined || epoch === undefined || isProviderHost(hostId)) continue;
    lives.set(nameOf({ hostId, epoch }), { hostId, epoch });
  }
  return [...lives.values()];
}

export const nameOf = ({ hostId, epoch }: HostLife): string => `${hostId}/${epoch}`;

export interface HostMonitorDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  /** Called at each unanswered question; undefined: it answers, nothing is held against it any more. */
  readonly onSuspicion: (life: HostLife, suspicion: Suspicion | undefined) => void;
}

type Answer = "fine" | "restarted" | "gone" | "silent" | "unknown";

interface Followed {
  readonly life: HostLife;
  /** The last answers, without a good one between them. */
  misses: ("gone" | "silent")[];
  missingSinceMs: number;
  cancel: () => void;
}

export class HostMonitor {
  readonly #deps: HostMonitorDeps;
  readonly #followed = new Map<string, Followed>();

  constructor(deps: HostMonitorDeps) {
    this.#deps = deps;
  }

  /** Asks exactly these from now on. */
  follow(lives: readonly HostLife[]): void {
    const names = new Set(lives.map(nameOf));
    for (const name of [...this.#followed.keys()]) if (!names.has(name)) this.#forget(name);
    for (const life of lives) {
      if (this.#followed.has(nameOf(life))) continue;
      const followed: Followed = { life, misses: [], missingSinceMs: 0, cancel: () => {} };
      this.#followed.set(nameOf(life), followed);
      void this.#ask(followed);
    }
  }

  stop(): void {
    for (const name of [...this.#followed.keys()]) this.#forget(name);
  }

  #forget(name: string): void {
    this.#followed.get(name)?.cancel();
    this.#followed.delete(name);
  }

  async #ask(followed: Followed): Promise<void> {
    const { bus, clock, onSuspicion } = this.#deps;
    const askedAtMs = clock.monotonic();
    const answer = await this.#answerOf(followed.life);
    if (this.#followed.get(nameOf(followed.life)) !== followed) return;
    // Without a connection of its own a janitor knows nothing about anybody; nor does one that was stopped itself,
    // or gets no CPU: whatever it held against others may have been over for long.
    const wasAway = clock.monotonic() - askedAtMs > pingCommand.timeoutMs + OWN_LAG_MS;
    if (answer === "fine" || wasAway || !bus.isConnected()) {
      if (followed.misses.length > 0) onSuspicion(followed.life, undefined);
      followed.misses = [];
      this.#askAgain(followed, Math.max(ASK_MS, ASK_MS_PER_HOST * this.#followed.size));
      return;
    }
    if (answer === "unknown") return this.#askAgain(followed, LOST_ASK_MS);
    if (answer !== "restarted") {
      if (followed.misses.length === 0) followed.missingSinceMs = askedAtMs;
      followed.misses = [...followed.misses.slice(-9), answer];
    }
    const suspicion =
      answer === "restarted"
        ? restarted(followed.life)
        : suspicionOf(followed.life, followed.misses, clock.monotonic() - followed.missingSinceMs);
    onSuspicion(followed.life, suspicion);
    this.#askAgain(followed, suspicion.degree === "certain" ? LOST_ASK_MS : CONFIRM_MS);
  }

  #askAgain(followed: Followed, afterMs: number): void {
    followed.cancel = this.#deps.clock.after(afterMs, () => void this.#ask(followed));
  }

  /** Of a second question only what it knows better than the first: that somebody is there, or nobody. */
  async #answerOf(life: HostLife): Promise<Answer> {
    const first = this.#answerTo(life);
    let cancel = () => {};
    const second = new Promise<Answer>((resolve) => {
      cancel = this.#deps.clock.after(ASK_ANEW_MS, async () => {
        const answer = await this.#answerTo(life);
        if (answer !== "silent" && answer !== "unknown") resolve(answer);
      });
    });
    const answer = await Promise.race([first, second]);
    cancel();
    return answer;
  }

  /** Asks once. */
  async #answerTo({ hostId: id, epoch }: HostLife): Promise<Answer> {
    try {
      const pong = await this.#deps.bus.core.request(pingCommand, id, {});
      return pong.epoch > epoch && epoch > 0 ? "restarted" : "fine";
    } catch (error) {
      if (isError(error, "no_responders")) return "gone";
      return isError(error, "timeout") ? "silent" : "unknown";
    }
  }
}

const restarted = ({ hostId: id }: HostLife): Suspicion => ({
  kind: "restarted",
  degree: "certain",
  reason: `host ${id} was restarted`,
});

/**
 * What so many unanswered questions say.
 *
 * @param misses what came of each since the last answer, the newest last
 * @param forMs since the first of them was asked
 */
function suspicionOf(
  { hostId: id }: HostLife,
  misses: readonly ("gone" | "silent")[],
  forMs: number,
): Suspicion {
  const isGone = misses.at(-1) === "gone" && misses.at(-2) !== "silent";
  if (isGone) {
    const isSure = misses.length >= 2 && forMs >= GONE_SURE_MS;
    return {
      kind: "gone",
      degree: isSure && forMs >= GONE_CERTAIN_MS ? "certain" : isSure ? "sure" : "new",
      reason: `host ${id} is gone: nobody answers for it`,
    };
  }
  const isSure = misses.length >= SILENCES_TO_BE_SURE && forMs >= SILENT_SURE_MS;
  return {
    kind: "silent",
    degree: isSure && forMs >= SILENT_CERTAIN_MS ? "certain" : isSure ? "sure" : "new",
    reason: `host ${id} hangs: it answered nothing for ${(forMs / 1000).toFixed(1)} s`,
  };
}
