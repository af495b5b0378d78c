// Requests of simulated clients: to any gateway that is up, with a time-out.
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../../../services/gateway/context.ts";
import { pickOne, type Random } from "../../kit/random.ts";
import type { World } from "../world.ts";

/** The time-out of an HTTP client. */
const TIMEOUT_MS = 8000;

/** @returns undefined while no gateway is up */
export function pickGateway(world: World, random: Random): Gateway | undefined {
  const up = world.processes.filter((process) => process.kind === "gateway" && process.isUp);
  const gateways = up.flatMap((process) => world.gateways.get(process.name) ?? []);
  const [first, ...others] = gateways;
  return first === undefined ? undefined : pickOne(random, [first, ...others]);
}

/** Resolves to the answer or the error; a gateway that died never answers. */
export function answered<T>(clock: Clock, work: Promise<T>): Promise<{ value: T } | { error: unknown }> {
  return new Promise((resolve) => {
    const cancel = clock.after(TIMEOUT_MS, () => resolve({ error: new Error("no answer") }));
    work.then(
      (value) => {
        cancel();
        resolve({ value });
      },
      (error: unknown) => {
        cancel();
        resolve({ error });
      },
    );
  });
}
