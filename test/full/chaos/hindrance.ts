// Decides which faults keep Greenroom from cleaning up, and how much unhindered time they leave.
import type { Fault, RunMs } from "./evidence.ts";

/** A lost request times out after 5 s, and a host checks its records every 2 s. */
const RECOVERY_MS = 7000;
/** The time that a NATS client may need to consume again after the loss of a node. */
const NATS_RECOVERY_MS = 12_000;

/**
 * True for a fault that blocks messages or LiveKit. Greenroom must survive killed processes, wrong clocks and forged
 * events without a delay, so they don't hinder. A stopped process receives nothing, and so hinders.
 */
function hinders({ kind, target }: Fault): boolean {
  if (/nats|livekit/i.test(target)) return true;
  return !/kill|clock|forge|restart|deploy|drain/i.test(kind);
}

/** @returns the milliseconds of a period that lie outside all hindering faults and their recovery times */
export function unhinderedMs(faults: readonly Fault[], fromMs: RunMs, toMs: RunMs): number {
  const hidden = faults
    .filter(hinders)
    .map(({ target, fromMs: from, untilMs }) => ({
      from,
      to: untilMs + (/nats/i.test(target) ? NATS_RECOVERY_MS : RECOVERY_MS),
    }))
    .sort((a, b) => a.from - b.from);
  let free = 0;
  let at = fromMs;
  for (const { from, to } of hidden) {
    if (from >= toMs) break;
    free += Math.max(0, from - at);
    at = Math.max(at, to);
  }
  return free + Math.max(0, toMs - at);
}

/** Returns the time by which `limitMs` of unhindered time have passed, undefined if they never do. */
export function hadTimeAtMs(
  faults: readonly Fault[],
  sinceMs: RunMs,
  limitMs: number,
  untilMs: RunMs,
): RunMs | undefined {
  if (unhinderedMs(faults, sinceMs, untilMs) <= limitMs) return undefined;
  let [low, high] = [sinceMs, untilMs];
  while (high - low > 1) {
    const middle = (low + high) / 2;
    if (unhinderedMs(faults, sinceMs, middle) > limitMs) high = middle;
    else low = middle;
  }
  return high;
}
