// Checks the records of a host's sessions: at intervals, and at once after the host was away.
import type { Bus } from "../../../libs/bus/bus.ts";
import { watchAbsence } from "../../../libs/fleet/absence.ts";
import { type Clock, repeat, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";

interface Deps {
  readonly bus: Pick<Bus, "isConnected">;
  readonly clock: Clock;
  readonly log: Log;
}

const CHECK_MS = 2000;
const RETRY_MS = 250;
const MAX_TRIES = 20;

/**
 * Calls `check` every two seconds. While a host is stopped or cut off, its sessions may go to other agents, which then
 * share a room with its own. On its return the host therefore checks at once, and retries until a check succeeds.
 *
 * @returns a function that stops the checks
 */
export function watchFencing({ bus, clock, log }: Deps, check: () => Promise<void>): () => void {
  let isStopped = false;
  let isChecking = false;

  const checkUntilDone = async () => {
    if (isChecking) return;
    isChecking = true;
    for (let tries = 0; tries < MAX_TRIES && !isStopped; tries++) {
      try {
        await check();
        break;
      } catch {
        await sleep(clock, RETRY_MS);
      }
    }
    isChecking = false;
  };
  const absence = watchAbsence(bus, clock, (awayMs) => {
    log.info({ awayMs: Math.round(awayMs) }, "back from a pause or a lost connection; checking the records");
    void checkUntilDone();
  });
  const stopChecking = repeat(clock, CHECK_MS, check, (error) =>
    log.debug({ error, retrying: true }, "failed to check the records"),
  );
  return () => {
    isStopped = true;
    absence.stop();
    stopChecking();
  };
}
