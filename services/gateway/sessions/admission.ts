// Whether one more start can be taken on now, by what is really going on: starts under way, lag, and the store.
import type { Bus, Stop } from "../../../libs/bus/bus.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";
import { startLagMeter } from "../../../libs/runtime/event-loop-lag.ts";
import type { GatewayConfig } from "../config.ts";

/** What the store keeps back for sessions that there are: a full one takes neither their updates nor their end. */
const STORE_RESERVE = 0.1;

const LOOK_MS = 1000;
const STORE_RETRY_MS = 5000;

export interface Admission {
  /** @throws GreenroomError overloaded, storage_full */
  refuseIfOverloaded(startsUnderWay: number): void;
  /** Begins to measure the lag and to look at the store, until stopped. */
  watch(): Promise<Stop>;
}

export interface AdmissionDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly config: Pick<GatewayConfig, "GREENROOM_MAX_PENDING_STARTS" | "GREENROOM_MAX_EVENT_LOOP_LAG_MS">;
}

export function createAdmission({ bus, clock, config }: AdmissionDeps): Admission {
  let lagMs = 0;
  let fullness = 0;
  const refuse = (reason: string) => {
    throw new GreenroomError("overloaded", `${reason} Try again in a moment.`, {
      retryAfterMs: retryAfterMs(config.GREENROOM_MAX_PENDING_STARTS),
    });
  };
  return {
    refuseIfOverloaded(startsUnderWay) {
      if (startsUnderWay >= config.GREENROOM_MAX_PENDING_STARTS)
        refuse(`${startsUnderWay} starts are under way at this gateway, as many as it takes on at once.`);
      if (lagMs > config.GREENROOM_MAX_EVENT_LOOP_LAG_MS)
        refuse(`This gateway lags by ${Math.round(lagMs)} ms.`);
      if (fullness > 1 - STORE_RESERVE) {
        throw new GreenroomError(
          "storage_full",
          `The store is full to ${Math.floor(fullness * 100)} %, and the rest is for running sessions. Raise the limits of its streams, or keep ended sessions for a shorter time.`,
          { retryAfterMs: STORE_RETRY_MS },
        );
      }
    },
    async watch() {
      const lag = startLagMeter();
      const look = async () => {
        lagMs = lag.read();
        fullness = await fullest(bus);
      };
      await look().catch(() => {});
      // While NATS is away its fullness stays as it was last seen; the start itself says that it is away.
      const stopLooking = repeat(clock, LOOK_MS, look, () => {});
      return async () => {
        stopLooking();
        lag.stop();
      };
    },
  };
}

const fullest = async (bus: Bus): Promise<number> =>
  Math.max(await bus.admin.usageRatio(sessionEvents), await bus.admin.usageRatio(sessions));

/** Not the same for all who are refused, or all come back at once. */
const retryAfterMs = (startsMax: number): number =>
  1000 + Math.floor(Math.random() * Math.min(2000, startsMax * 4));
