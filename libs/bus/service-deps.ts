// The dependencies that almost every part of a service shares.
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Bus } from "./bus.ts";

export interface ServiceDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
}
