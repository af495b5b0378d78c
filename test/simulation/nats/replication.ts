// What replication adds to a stream of the memory server: writes in flight, and windows without a leader.
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Fates } from "./faults.ts";

/** JetStream's refusal, as it comes from the server. */
export class ApiError extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`JetStream's error ${code}`);
    this.code = code;
  }
}

export const apiCode = (error: unknown): number | undefined =>
  error instanceof ApiError ? error.code : undefined;

export type Replicas = 1 | 3;

interface InFlight {
  /** What it writes: a key, or a message's id. */
  readonly what: string;
  readonly work: () => unknown;
  readonly answer: (value: unknown) => void;
}

/**
 * The log of one stream, in which writes are in flight for a while and are done in their order.
 *
 * Whatever was done stays done. When the leader dies, what was in flight is done up to some point and is lost
 * from there on, and nobody is told which.
 */
export class Replication {
  readonly replicas: Replicas;
  readonly #clock: Clock;
  readonly #fates: Fates;
  #inFlight: InFlight[] = [];
  #lastAtMs = 0;

  constructor(replicas: Replicas, clock: Clock, fates: Fates) {
    this.replicas = replicas;
    this.#clock = clock;
    this.#fates = fates;
  }

  isInFlight(what: string): boolean {
    return this.#inFlight.some((write) => write.what === what);
  }

  /** Does a write: at once where there is a single replica, which asks nobody. */
  write<T>(what: string, work: () => T): T | Promise<T> {
    if (this.replicas === 1) return work();
    const now = this.#clock.monotonic();
    this.#lastAtMs = Math.max(this.#lastAtMs, now + this.#fates.between(...this.#fates.faults().inFlightMs));
    return new Promise<T>((resolve) => {
      const write: InFlight = { what, work, answer: (value) => resolve(value as T) };
      this.#inFlight.push(write);
      this.#clock.after(this.#lastAtMs - now, () => {
        const index = this.#inFlight.indexOf(write);
        if (index === -1) return;
        this.#inFlight.splice(index, 1);
        write.answer(work());
      });
    });
  }

  /** The leader dies: what is in flight is done or lost, and its writers are told nothing. */
  loseLeader(): void {
    const inFlight = this.#inFlight;
    this.#inFlight = [];
    const kept = Math.floor(this.#fates.between(0, inFlight.length + 1));
    for (const [index, write] of inFlight.entries()) {
      const isKept = index < kept;
      this.#fates.count(isKept ? "kept at an election" : "lost at an election");
      if (isKept) write.work();
    }
  }
}
