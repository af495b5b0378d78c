// What an instance that stops waits for: telephones that it had dialed, whose answer would be lost with it.
import type { Bus } from "../../../libs/bus/bus.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { LaunchManager } from "./launch-manager.ts";

interface Deps {
  readonly bus: Pick<Bus, "isConnected">;
  readonly clock: Clock;
  readonly log: Log;
  readonly keeper: Pick<LaunchManager, "unfinished">;
}

/** On top of the ringing: a request that is sent again, what a connection to the carrier takes, and the save. */
const AROUND_RINGING_MS = 25_000;
const LOOK_MS = 100;
/** Without the store nothing that is learnt can be saved. */
const AWAY_MS = 5000;

/** How long a stopping instance waits at most, in ms. */
export const ringingWaitMs = (ringS: number, drainMs: number): number =>
  Math.min(drainMs, ringS * 1000 + AROUND_RINGING_MS);

/** Answers when no telephone rings any more whose end only this process learns, or after `limitMs`. */
export async function waitForRingingCalls({ bus, clock, keeper, log }: Deps, limitMs: number): Promise<void> {
  const beganAtMs = clock.monotonic();
  let connectedAtMs = beganAtMs;
  const calls = keeper.unfinished();
  if (calls === 0 || limitMs === 0) return;
  log.info({ calls, atMostMs: limitMs }, "stopping once the telephones that ring have been answered or not");
  for (;;) {
    await sleep(clock, LOOK_MS);
    const now = clock.monotonic();
    const left = keeper.unfinished();
    if (left === 0) return;
    if (bus.isConnected()) connectedAtMs = now;
    if (now - beganAtMs < limitMs && now - connectedAtMs < AWAY_MS) continue;
    log.warn(
      { calls: left },
      "telephones still ring; another instance follows them and may not learn their end",
    );
    return;
  }
}
