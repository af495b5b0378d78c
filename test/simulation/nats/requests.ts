// Requests of one client to the memory server and to hosts, with all their possible outcomes.

import { STORE_PATIENCE_MS, STORE_TIMEOUT_MS } from "../../../libs/bus/delivery-rules.ts";
import { NO_LEADER, wasRefusedForNow } from "../../../libs/bus/jetstream-errors.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { Link } from "./connection.ts";
import { recipientsOf } from "./core.ts";
import { ApiError, apiCode } from "./replication.ts";
import type { MemoryWorld } from "./shared.ts";

/** The pause before a refused or unanswered request is retried. */
const RETRY_MS = 100;

interface Call {
  readonly isWrite: boolean;
  /** Whether the request may be repeated when its outcome is unknown. */
  readonly isIdempotent: boolean;
}

/** One try, and whether its target currently has no leader. */
interface Try<T> {
  readonly isLeaderless: () => boolean;
  readonly atServer: () => T | Promise<T>;
}

/** A time-out: the request may or may not have been executed. */
class NoAnswer extends GreenroomError {}

type Reply = { answer: Uint8Array } | { failed: string };

interface Ends<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export class Requests {
  readonly #world: MemoryWorld;
  readonly #link: Link;

  constructor(world: MemoryWorld, link: Link) {
    this.#world = world;
    this.#link = link;
  }

  /** @throws GreenroomError storage_unavailable, and the errors of `atServer` */
  read<T>(doing: string, atServer: () => T | Promise<T>): Promise<T> {
    return this.send(doing, () => this.#tryOf(atServer), { isWrite: false, isIdempotent: true });
  }

  /**
   * Sends a write, whose answer may be lost.
   *
   * @param isIdempotent whether the write may be repeated when its outcome is unknown
   */
  write<T>(doing: string, atServer: () => T | Promise<T>, isIdempotent = false): Promise<T> {
    return this.send(doing, () => this.#tryOf(atServer), { isWrite: true, isIdempotent });
  }

  /** @throws GreenroomError no_responders, timeout */
  host(subject: string, request: Uint8Array, timeoutMs: number): Promise<Reply> {
    const late = () => new GreenroomError("timeout", `No answer on ${subject} in time.`);
    const { fates, answerers } = this.#world;
    const link = this.#link;
    return this.#within(timeoutMs, `requesting ${subject}`, late, ({ resolve, reject }) => {
      link.send(() => {
        const answering = recipientsOf(answerers.on(subject), fates.pick);
        if (answering.length === 0) {
          link.deliver(() => reject(new GreenroomError("no_responders", `No responders on ${subject}.`)));
        }
        for (const { link: host, call } of answering) {
          if (fates.strikes("drop")) continue;
          host.deliver(async () => {
            const reply = await call(request);
            const isLost = fates.strikes("drop");
            if (!isLost) host.send(() => link.deliver(() => resolve(reply)));
          });
        }
      });
    });
  }

  #tryOf<T>(atServer: () => T | Promise<T>): Try<T> {
    return { isLeaderless: () => this.#world.fates.faults().leaderless, atServer };
  }

  /**
   * Sends a request, and retries it while it is refused or unanswered, like the NATS client.
   *
   * @param next creates the next try from the time since the first one, in ms
   */
  async send<T>(doing: string, next: (triedMs: number) => Try<T>, call: Call): Promise<T> {
    const { clock } = this.#world;
    const startedAtMs = clock.monotonic();
    for (;;) {
      try {
        return await this.#callOnce(doing, next(clock.monotonic() - startedAtMs), call.isWrite);
      } catch (error) {
        const isRetryable =
          wasRefusedForNow(apiCode(error)) || (call.isIdempotent && error instanceof NoAnswer);
        const isOver = clock.monotonic() - startedAtMs > STORE_PATIENCE_MS || this.#link.isClosed();
        if (!isRetryable || isOver || !this.#link.knowsItIsConnected()) throw error;
      }
      await new Promise<void>((resolve) => clock.after(RETRY_MS, () => this.#link.run(resolve)));
    }
  }

  #callOnce<T>(doing: string, { isLeaderless, atServer }: Try<T>, isWrite: boolean): Promise<T> {
    const late = () => new NoAnswer("storage_unavailable", `${doing}: NATS answered "TIMEOUT".`);
    const { clock, fates } = this.#world;
    const link = this.#link;
    return this.#within(STORE_TIMEOUT_MS, doing, late, ({ resolve, reject }) => {
      const fate = fates.ofCall(isWrite);
      const isResent = isWrite && fate === "fine" && fates.strikes("resend");
      const answer = (outcome: Outcome<T>) => {
        if (fate !== "fine") return;
        link.deliver(() => ("error" in outcome ? reject(outcome.error) : resolve(outcome.value)));
      };
      const run = () => {
        if (!isLeaderless()) attempt(atServer, isResent ? () => attempt(atServer, answer) : answer);
        else if (fates.ofLeaderless() === "refused") link.deliver(() => reject(new ApiError(NO_LEADER)));
      };
      if (fate === "refused") link.send(() => link.deliver(() => reject(unavailable(doing, "503"))));
      else if (fate === "late") {
        // The server executes the request after its caller has given up.
        const lateMs = fates.between(STORE_TIMEOUT_MS, 2 * STORE_TIMEOUT_MS);
        link.send(() => clock.after(lateMs, run));
      } else if (fate !== "unsent") link.send(run);
    });
  }

  #within<T>(
    ms: number,
    doing: string,
    late: () => GreenroomError,
    start: (ends: Ends<T>) => void,
  ): Promise<T> {
    if (this.#link.isClosed()) return Promise.reject(unavailable(doing, "CONNECTION_CLOSED"));
    return new Promise<T>((resolve, reject) => {
      // The promises of a killed process stay pending.
      if (this.#link.hasCrashed()) return;
      const cancel = this.#world.clock.after(ms, () => this.#link.run(() => reject(late())));
      start({
        resolve: (value) => {
          cancel();
          resolve(value);
        },
        reject: (error) => {
          cancel();
          reject(error);
        },
      });
    });
  }
}

type Outcome<T> = { value: T } | { error: unknown };

/** Executes the work; a write in flight between replicas completes later or never. */
function attempt<T>(work: () => T | Promise<T>, then: (outcome: Outcome<T>) => void): void {
  let value: T | Promise<T>;
  try {
    value = work();
  } catch (error) {
    then({ error });
    return;
  }
  if (value instanceof Promise) void value.then((late) => then({ value: late }));
  else then({ value });
}

const unavailable = (doing: string, reason: string): GreenroomError =>
  new GreenroomError("storage_unavailable", `${doing}: NATS answered "${reason}".`);
