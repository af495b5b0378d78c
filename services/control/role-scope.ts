// The connection of one run of a role to the rest of its process, which can be cut at any moment.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Bus } from "../../libs/bus/bus.ts";
import { scopedBus } from "../../libs/bus/scoped-bus.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { type Metrics, scopedMetrics } from "../../libs/runtime/metrics.ts";
import { scopedClock } from "../../libs/runtime/scoped-clock.ts";
import { withResolvers } from "../../libs/runtime/with-resolvers.ts";

/** The scope in whose context code runs, however many callbacks and promises lie in between. */
const current = new AsyncLocalStorage<RoleScope>();

/** The scope to which an error can be ascribed that escapes right now. */
export const currentScope = (): RoleScope | undefined => current.getStore();

interface Shared {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/**
 * The bus, clock and metrics of one run of a role.
 *
 * A failed role may have corrupted its memory, so it is not asked to stop. `close` takes away its connection and its
 * timers, as the end of its process would, and the next run gets a scope of its own.
 */
export class RoleScope {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Resolves with the first error that escaped from the role. */
  readonly failed: Promise<unknown>;
  readonly #failure = withResolvers<unknown>();
  readonly #log: Log;
  readonly #parts: readonly { close(): void }[];
  #isClosed = false;

  constructor(shared: Shared, log: Log) {
    this.failed = this.#failure.promise;
    this.#log = log;
    const bus = scopedBus(shared.bus, this);
    const clock = scopedClock(shared.clock, (call) => this.runGuarded(call));
    const metrics = scopedMetrics(shared.metrics);
    this.bus = bus.bus;
    this.clock = clock.clock;
    this.metrics = metrics.metrics;
    this.#parts = [bus, clock, metrics];
  }

  /** Runs code in the context of this scope. */
  run<R>(work: () => R): R {
    return current.run(this, work);
  }

  /** As `run`. An error that is thrown fails the role instead of the caller. */
  runGuarded(work: () => void): void {
    try {
      this.run(work);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Closes the scope at once, so that nothing follows the error. */
  fail(error: unknown): void {
    if (this.#isClosed) this.#log.warn({ error }, "an error escaped from a run that is over");
    this.close();
    this.#failure.resolve(error);
  }

  close(): void {
    this.#isClosed = true;
    for (const part of this.#parts) part.close();
  }
}
