// The trace of one simulated run: what happened when, as text to read and as a hash to compare.
import { createHash } from "node:crypto";
import type { Clock } from "../../libs/runtime/clock.ts";

export interface Violation {
  /** Its number in the table of invariants, or a word for one that stands outside of it. */
  readonly invariant: number | string;
  readonly what: string;
  readonly atMs: number;
}

/** Lines at one moment of virtual time. */
const MOST_IN_A_MOMENT = 3000;
/** Past this a run only repeats itself. */
const VIOLATIONS_KEPT = 20;

export class Trace {
  readonly #clock: Clock;
  readonly #hash = createHash("sha256");
  readonly #keep: boolean;
  readonly #labels = new Map<string, string>();
  #momentMs = 0;
  #inMoment = 0;
  /** Called when the world must be stopped. */
  onLivelock = () => {};
  readonly lines: string[] = [];
  readonly violations: Violation[] = [];

  /** @param keep whether the lines are kept, which takes memory that a run of thousands has no use for. */
  constructor(clock: Clock, keep: boolean) {
    this.#clock = clock;
    this.#keep = keep;
  }

  /** A session's short name for people. */
  label(sessionId: string, label: string): void {
    this.#labels.set(sessionId, label);
  }

  nameOf(sessionId: string): string {
    return this.#labels.get(sessionId) ?? sessionId;
  }

  /** Wall-clock times must not be in it: the same run with other clocks has to give the same trace. */
  note(who: string, what: string): void {
    this.#watchTime();
    const line = `${this.#clock.monotonic().toFixed(1).padStart(9)} ${who.padEnd(15)} ${what}`;
    this.#hash.update(line);
    if (this.#keep) this.lines.push(line);
  }

  /** A line for people only, such as what a service logged. */
  remark(who: string, what: string): void {
    if (this.#keep)
      this.lines.push(`${this.#clock.monotonic().toFixed(1).padStart(9)} ${who.padEnd(15)}   (${what})`);
  }

  /** Things that go on and on without any time passing would never come to an end here. */
  #watchTime(): void {
    const now = this.#clock.monotonic();
    if (now > this.#momentMs) this.#inMoment = 0;
    this.#momentMs = now;
    this.#inMoment += 1;
    if (this.#inMoment !== MOST_IN_A_MOMENT) return;
    this.violations.push({ invariant: 13, what: "it goes round and round at one moment", atMs: now });
    this.onLivelock();
  }

  violation(invariant: number | string, what: string): void {
    this.note("INVARIANT", `${invariant} does not hold: ${what}`);
    if (this.violations.length < VIOLATIONS_KEPT)
      this.violations.push({ invariant, what, atMs: this.#clock.monotonic() });
  }

  /** To be asked once, at the end. */
  digest(): string {
    return this.#hash.digest("hex");
  }
}
