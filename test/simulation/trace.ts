// The trace of a simulated run: events with their virtual times, as text for people and as a digest to compare.
import { createHash } from "node:crypto";
import type { Clock } from "../../libs/runtime/clock.ts";

export interface Violation {
  /** Its number in the table of invariants, or the name of an invariant outside the table. */
  readonly invariant: number | string;
  readonly what: string;
  readonly atMs: number;
}

/** The maximum number of lines at one moment of virtual time. */
const MAX_LINES_PER_MOMENT = 3000;
/** Further violations of a run add no information. */
const MAX_VIOLATIONS = 20;

export class Trace {
  readonly #clock: Clock;
  readonly #hash = createHash("sha256");
  readonly #keep: boolean;
  readonly #labels = new Map<string, string>();
  #momentMs = 0;
  #inMoment = 0;
  /** Called on a livelock, to stop the world. */
  onLivelock = () => {};
  readonly lines: string[] = [];
  readonly violations: Violation[] = [];

  /** @param keep whether to keep the lines; runs of thousands of seeds save that memory */
  constructor(clock: Clock, keep: boolean) {
    this.#clock = clock;
    this.#keep = keep;
  }

  /** Sets a session's short name. */
  label(sessionId: string, label: string): void {
    this.#labels.set(sessionId, label);
  }

  nameOf(sessionId: string): string {
    return this.#labels.get(sessionId) ?? sessionId;
  }

  /** Adds a line, which must not contain wall-clock times: the same run with other clocks must give the same trace. */
  note(who: string, what: string): void {
    this.#watchTime();
    const line = `${this.#clock.monotonic().toFixed(1).padStart(9)} ${who.padEnd(15)} ${what}`;
    this.#hash.update(line);
    if (this.#keep) this.lines.push(line);
  }

  /** Adds a line that is not part of the digest, such as a log line of a service. */
  remark(who: string, what: string): void {
    if (this.#keep)
      this.lines.push(`${this.#clock.monotonic().toFixed(1).padStart(9)} ${who.padEnd(15)}   (${what})`);
  }

  /** Detects a livelock: work that continues without any virtual time passing. */
  #watchTime(): void {
    const now = this.#clock.monotonic();
    if (now > this.#momentMs) this.#inMoment = 0;
    this.#momentMs = now;
    this.#inMoment += 1;
    if (this.#inMoment !== MAX_LINES_PER_MOMENT) return;
    this.violations.push({ invariant: 13, what: "livelock: time no longer passes", atMs: now });
    this.onLivelock();
  }

  violation(invariant: number | string, what: string): void {
    this.note("INVARIANT", `${invariant} is violated: ${what}`);
    if (this.violations.length < MAX_VIOLATIONS)
      this.violations.push({ invariant, what, atMs: this.#clock.monotonic() });
  }

  /** Call it once, at the end. */
  digest(): string {
    return this.#hash.digest("hex");
  }
}
