// The detection of hung agent processes.
import { describe, expect, test } from "vitest";
import type { CpuTimes } from "../../../../../services/agent-host/pool/proc-stat.ts";
import { ProcessLiveness } from "../../../../../services/agent-host/pool/supervised-process.ts";
import { createSimClock } from "../../../../kit/sim-clock.ts";

/** @returns the ms after which a process that never answers counts as hung */
async function hungAfter(
  options: { isLoading?: boolean; cpuTimes?: (ms: number) => CpuTimes | undefined },
  limits = { pingMs: 2500, timeoutMs: 60_000 },
): Promise<number> {
  const clock = createSimClock();
  const liveness = new ProcessLiveness(clock, limits);
  let silent: number | undefined;
  liveness.start({
    send: () => {},
    isLoading: () => options.isLoading === true,
    cpuTimes: options.cpuTimes && (() => options.cpuTimes?.(clock.monotonic())),
    onSilent: (ms) => {
      silent = ms;
    },
  });
  for (let tries = 0; tries < 200 && silent === undefined; tries++) await clock.advance(2500);
  return silent ?? Number.POSITIVE_INFINITY;
}

const computes = (ms: number) => ({ ranMs: ms, waitedMs: 0 });
const idles = () => ({ ranMs: 5000, waitedMs: 10 });
const waits = (ms: number) => ({ ranMs: 0, waitedMs: ms });

describe("ProcessLiveness", () => {
  test("gives a process that computes a minute, like LiveKit's worker", async () => {
    expect(await hungAfter({ cpuTimes: computes })).toBe(60_000);
  });

  test("gives a process without CPU time a quarter of that, unless it loads", async () => {
    expect(await hungAfter({ cpuTimes: idles })).toBe(15_000);
    expect(await hungAfter({ cpuTimes: idles, isLoading: true })).toBe(60_000);
  });

  test("gives a process that waits for a CPU three times as long", async () => {
    expect(await hungAfter({ cpuTimes: waits })).toBe(180_000);
  });

  test("gives every process the time-out where the CPU times are unknown", async () => {
    expect(await hungAfter({})).toBe(60_000);
  });

  test("waits for three pings if the time-out is short", async () => {
    expect(await hungAfter({ cpuTimes: idles }, { pingMs: 2500, timeoutMs: 8000 })).toBe(7500);
  });
});
