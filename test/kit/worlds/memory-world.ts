// A memory bus in simulated time, as the unit tests use it.
import type { Faults } from "../../simulation/nats/faults.ts";
import { createMemoryServer } from "../../simulation/nats/memory-server.ts";
import { createRandom } from "../random.ts";
import { createSimClock } from "../sim-clock.ts";

export const MINUTE_MS = 60_000;

export function world(faults: Partial<Faults> = {}, seed = 1, replicas: 1 | 3 = 1) {
  const clock = createSimClock();
  const server = createMemoryServer({ clock, random: createRandom(seed), faults, replicas });
  /** Lets time pass until a promise has settled, and gives what became of it. */
  const outcome = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    if (!(await clock.runUntil(() => settled, 10 * MINUTE_MS))) throw new Error("it never settles");
    return promise;
  };
  return { clock, server, outcome, connect: (name: string) => server.connect(name) };
}
