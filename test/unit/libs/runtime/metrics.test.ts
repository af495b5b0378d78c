// Metrics for Prometheus: few label values, and the sum of several parts of a process.

import { describe, expect, test } from "vitest";
import { createMetrics, scopedMetrics } from "../../../../libs/runtime/metrics.ts";
import { linesIn, linesOf } from "../../../kit/metric-lines.ts";

describe("createMetrics", () => {
  test("reports the process itself: its memory, its event loop, and that it is up", async () => {
    const text = await createMetrics("janitor").text();
    expect(linesIn(text, "greenroom_up")).toEqual(['greenroom_up{service="janitor"} 1']);
    for (const name of [
      "process_resident_memory_bytes",
      "nodejs_eventloop_lag_p99_seconds",
      "process_open_fds",
    ]) {
      expect(linesIn(text, name)).toHaveLength(1);
    }
  });

  test("limits the number of profiles and tenants, and loses none in the sum", async () => {
    const metrics = createMetrics("test");
    const count = metrics.counter("test_total", "Test.", ["profile", "reason"]);
    for (let n = 0; n < 200; n++) count({ profile: `p${n}`, reason: `r${n % 2}` });
    count({ profile: "p3", reason: "r1" });
    metrics.gauge("test_now", "Test.", ["profile"], (set) => {
      for (let n = 0; n < 200; n++) set(1, { profile: `p${n}` });
    });
    const lines = await linesOf(metrics, "test_total");
    expect(new Set(lines.map((line) => /profile="([^"]*)"/.exec(line)?.[1])).size).toBe(51);
    expect(lines).toContain('test_total{profile="p3",reason="r1"} 2');
    expect(lines).toContain('test_total{profile="other",reason="r0"} 75');
    expect(await linesOf(metrics, "test_now")).toContain('test_now{profile="other"} 150');
  });

  test("forgets label values of a gauge that are gone", async () => {
    const metrics = createMetrics("test");
    let profiles = ["a", "b"];
    metrics.gauge("test_now", "Test.", ["profile"], (set) => {
      for (const profile of profiles) set(2, { profile });
    });
    expect(await linesOf(metrics, "test_now")).toEqual([
      'test_now{profile="a"} 2',
      'test_now{profile="b"} 2',
    ]);
    profiles = ["b"];
    expect(await linesOf(metrics, "test_now")).toEqual(['test_now{profile="b"} 2']);
  });

  test("adds up the metrics of several parts of a process, until a part is closed", async () => {
    const metrics = createMetrics("test");
    const [one, other] = [scopedMetrics(metrics), scopedMetrics(metrics)];
    for (const part of [one, other]) {
      part.metrics.gauge("test_now", "Test.", [], (set) => set(1));
      part.metrics.counter("test_total", "Test.")();
    }
    expect(await linesOf(metrics, "test_now")).toEqual(["test_now 2"]);
    one.close();
    expect(await linesOf(metrics, "test_now")).toEqual(["test_now 1"]);
    expect(await linesOf(metrics, "test_total")).toEqual(["test_total 2"]);
  });
});
