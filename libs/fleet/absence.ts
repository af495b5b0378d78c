// Detects times in which this process could receive nothing: it was stopped, its machine slept, or NATS was away.
import type { Bus } from "../bus/bus.ts";
import { type Clock, repeat } from "../runtime/clock.ts";

const TICK_MS = 250;
/** A tick this late shows that the process was stopped or its machine slept. Load alone never causes such a delay. */
const PAUSED_MS = 1000;

export interface Absence {
  /** The monotonic time since which this process has received everything. Undefined while it may receive nothing. */
  presentSinceMs(): number | undefined;
  stop(): void;
}

/** Watches until stopped. Calls `onReturn` after a pause or a reconnection, with the delay of the tick. */
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
    const hasReturned = late > PAUSED_MS || (isConnected && !wasConnected);
    lastTickMs = clock.monotonic();
    wasConnected = isConnected;
    if (hasReturned || !isConnected) sinceMs = lastTickMs;
    if (hasReturned) onReturn(late);
  };
  const stop = repeat(clock, TICK_MS, tick, () => {});
  return {
    // Right after a pause, a caller may run before the tick that detects the pause.
    presentSinceMs: () => (bus.isConnected() && lateMs() <= PAUSED_MS ? sinceMs : undefined),
    stop,
  };
}
