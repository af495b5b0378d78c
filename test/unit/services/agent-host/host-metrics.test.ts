// Metrics of a host's agents.

import { describe, expect, test } from "vitest";
import { hostChanges } from "../../../../libs/contracts/streams.ts";
import { createMetrics } from "../../../../libs/runtime/metrics.ts";
import { measureHost } from "../../../../services/agent-host/host-metrics.ts";
import { aHost } from "../../../kit/fixtures/sessions.ts";
import { linesIn, linesOf } from "../../../kit/metric-lines.ts";

describe("measureHost", () => {
  test("reports agents by LiveKit's names, and what the host has started", async () => {
    const metrics = createMetrics("agent-host");
    const { published } = measureHost(metrics);
    expect(await linesOf(metrics, "lk_agents_active_job_count")).toEqual([]);
    const profiles = { echo: { status: "running", warm: 2, hot: 1, warming: 0, busy: 4, max: 9 } } as const;
    const host = aHost("h", 1, { profiles, load: 0.5, draining: false });
    published?.(hostChanges as never, { ...host, stats: { spawned: 3, assigned: 1, lost: 0 } });
    published?.(hostChanges as never, { ...host, stats: { spawned: 7, assigned: 2, lost: 1 } });

    const text = await metrics.text();
    expect(linesIn(text, "lk_agents_active_job_count").join()).toMatch(/nodename="[^"]+"} 4$/);
    expect(linesIn(text, "lk_agents_worker_load").join()).toMatch(/} 0.5$/);
    expect(linesIn(text, "greenroom_host_agents")).toContain(
      'greenroom_host_agents{profile="echo",state="hot"} 1',
    );
    expect(linesIn(text, "greenroom_host_agents_total")).toEqual([
      'greenroom_host_agents_total{what="spawned"} 7',
      'greenroom_host_agents_total{what="assigned"} 2',
      'greenroom_host_agents_total{what="lost"} 1',
    ]);
  });
});
