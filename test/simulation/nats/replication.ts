// Replication of a stream of the memory server: writes in flight, and elections.
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Fates } from "./faults.ts";

/** An error answer of JetStream. */
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
  /** The written key or message id. */
  readonly what: string;
  readonly work: () => unknown;
  readonly answer: (value: unknown) => void;
}

/**
 * The log of one stream, in which writes are in flight for a while and complete in order.
 *
 * A completed write is never lost. When the leader dies, the writes in flight complete up to a random point,
 * the rest is lost, and no writer gets an answer.
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

  /** Does a write: at once with a single replica, else after replication. */
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

  /** Kills the leader: each write in flight completes or is lost, and its writer gets no answer. */
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
