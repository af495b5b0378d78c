// A memory bus in simulated time, for unit tests.
import type { Faults } from "../../simulation/nats/faults.ts";
import { createMemoryServer } from "../../simulation/nats/memory-server.ts";
import { createRandom } from "../random.ts";
import { createSimClock } from "../sim-clock.ts";

export const MINUTE_MS = 60_000;

export function world(faults: Partial<Faults> = {}, seed = 1, replicas: 1 | 3 = 1) {
  const clock = createSimClock();
  const server = createMemoryServer({ clock, random: createRandom(seed), faults, replicas });
  /** Lets time pass until a promise has settled, and returns it. */
  const outcome = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    if (!(await clock.runUntil(() => settled, 10 * MINUTE_MS)))
      throw new Error("the promise is still pending after 10 minutes");
    return promise;
  };
  return { clock, server, outcome, connect: (name: string) => server.connect(name) };
}
