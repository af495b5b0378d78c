// Delays the stop of an instance until the calls that it has dialed are answered: the answer would be lost with it.
import type { Bus } from "../../../libs/bus/bus.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { LaunchManager } from "./launch-manager.ts";

interface Deps {
  readonly bus: Pick<Bus, "isConnected">;
  readonly clock: Clock;
  readonly log: Log;
  readonly manager: Pick<LaunchManager, "unfinished">;
}

/** On top of the ringing: a repeated request, the connection to the carrier, and the save. */
const AROUND_RINGING_MS = 25_000;
const POLL_MS = 100;
/** Without the store, no answer can be saved. */
const DISCONNECTED_MS = 5000;

/** The longest wait of a stopping instance, in ms. */
export const ringingWaitMs = (ringS: number, drainMs: number): number =>
  Math.min(drainMs, ringS * 1000 + AROUND_RINGING_MS);

/** Returns when no call rings whose end only this process can learn, or after `limitMs`. */
export async function waitForRingingCalls(
  { bus, clock, manager, log }: Deps,
  limitMs: number,
): Promise<void> {
  const beganAtMs = clock.monotonic();
  let connectedAtMs = beganAtMs;
  const calls = manager.unfinished();
  if (calls === 0 || limitMs === 0) return;
  log.info({ calls, limitMs }, "waiting for ringing calls before the stop");
  for (;;) {
    await sleep(clock, POLL_MS);
    const now = clock.monotonic();
    const left = manager.unfinished();
    if (left === 0) return;
    if (bus.isConnected()) connectedAtMs = now;
    if (now - beganAtMs < limitMs && now - connectedAtMs < DISCONNECTED_MS) continue;
    log.warn({ calls: left }, "stopped while calls still ring; another instance may not learn how they end");
    return;
  }
}
