// Notices when this process could hear nothing: it was stopped, its machine slept, or NATS was away.
import type { Bus } from "../bus/bus.ts";
import { type Clock, repeat } from "../runtime/clock.ts";

const TICK_MS = 250;
/** A tick this late means that the process was stopped or its machine slept; a busy process is never so late. */
const PAUSED_MS = 1000;

export interface Absence {
  /** Since when, on the monotonic clock, this process has heard everything; undefined while it may hear nothing. */
  presentSinceMs(): number | undefined;
  stop(): void;
}

/** Watches until stopped. Calls `onReturn` after a pause or a reconnection, with how late the tick came. */
export function watchAbsence(
  bus: Pick<Bus, "isConnected">,
  clock: Clock,
  onReturn: (lateMs: number) => void = () => {},
): Absence {
  let sinceMs = clock.monotonic();
  let lastTickMs = sinceMs;
  let wasConnected = bus.isConnected();
  const lateMs = () => clock.monotonic() - lastTickMs - TICK_MS;
  const tick = () => {
    const late = lateMs();
    const isConnected = bus.isConnected();
    const isBack = late > PAUSED_MS || (isConnected && !wasConnected);
    lastTickMs = clock.monotonic();
    wasConnected = isConnected;
    if (isBack || !isConnected) sinceMs = lastTickMs;
    if (isBack) onReturn(late);
  };
  const stop = repeat(clock, TICK_MS, tick, () => {});
  return {
    // Right after a pause a caller may run before the tick that notices it.
    presentSinceMs: () => (bus.isConnected() && lateMs() <= PAUSED_MS ? sinceMs : undefined),
    stop,
  };
}
