// The lag of an event loop that is blocked on purpose.
import { expect, test } from "vitest";
import { startLagMeter } from "../../../../libs/runtime/event-loop-lag.ts";

function blockFor(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

const turns = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("reports a long pause as the longest lag and not as the median, and forgets it after a reading", async () => {
  const meter = startLagMeter();
  await turns(300);
  blockFor(1500);
  await turns(600);
  const lag = meter.read();
  expect(lag.maxMs).toBeGreaterThan(1000);
  expect(lag.medianMs).toBeLessThan(lag.maxMs / 2);
  await turns(200);
  expect(meter.read().maxMs).toBeLessThan(1000);
  meter.stop();
});

test("reports a lag that lasts, and no single pause that fills the time between two readings", async () => {
  const meter = startLagMeter();
  await turns(500);
  meter.read();
  const medians: number[] = [];
  for (let pause = 0; pause < 4; pause++) {
    blockFor(1000);
    await turns(1);
    medians.push(meter.read().medianMs);
  }
  expect(medians[0]).toBeLessThan(500);
  expect(medians.at(-1)).toBeGreaterThan(500);
  meter.stop();
});
