// Which of a run's faults keep the product from cleaning up, and how much of a stretch they leave it.
import type { Fault, RunMs } from "./evidence.ts";

/** A lost call ends by its time-out of 5 s, and a host looks at its records every 2 s. */
const RECOVERY_MS = 7000;
/** A client of NATS may need so long until it consumes again, after a node is lost. */
const NATS_RECOVERY_MS = 12_000;

/**
 * Whether a fault keeps those that should hear of it from hearing, or LiveKit from doing as it is told. The death
 * of one of the product's own processes does not, nor do wrong clocks or forged messages: all of that is to be
 * lived through without a delay. A process that is stopped can't be told anything, and so hinders.
 */
function hinders({ kind, target }: Fault): boolean {
  if (/nats|livekit/i.test(target)) return true;
  return !/kill|clock|forge|restart|deploy|drain/i.test(kind);
}

/** @returns how many of these milliseconds nothing hindered anybody, nor had within its time of recovery. */
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

/** The moment at which the product had had so many milliseconds without a hindrance; undefined: it never had. */
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
