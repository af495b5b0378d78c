// When a host looks at the records of the sessions it serves: steadily, and at once when it was away.
import type { Bus } from "../../../libs/bus/bus.ts";
import { watchAbsence } from "../../../libs/fleet/absence.ts";
import { type Clock, repeat, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";

interface Deps {
  readonly bus: Pick<Bus, "isConnected">;
  readonly clock: Clock;
  readonly log: Log;
}

const EVERY_MS = 2000;
const AGAIN_MS = 250;
const TRIES = 20;

/**
 * Calls `check` every two seconds. A host that was stopped or cut off may have been given up meanwhile, and its
 * agents be in rooms where others speak by now: so on its return it looks at once, and until it could.
 *
 * @returns what stops it
 */
export function watchFencing({ bus, clock, log }: Deps, check: () => Promise<void>): () => void {
  let isStopped = false;
  let isLooking = false;

  const lookUntilDone = async () => {
    if (isLooking) return;
    isLooking = true;
    for (let tries = 0; tries < TRIES && !isStopped; tries++) {
      try {
        await check();
        break;
      } catch {
        await sleep(clock, AGAIN_MS);
      }
    }
    isLooking = false;
  };
  const absence = watchAbsence(bus, clock, (lateMs) => {
    log.info({ awayMs: Math.round(lateMs) }, "back from a pause or a cut connection; checking the records");
    void lookUntilDone();
  });
  const stopChecking = repeat(clock, EVERY_MS, check, (error) =>
    log.debug({ error }, "records could not be checked; calls go on"),
  );
  return () => {
    isStopped = true;
    absence.stop();
    stopChecking();
  };
}
