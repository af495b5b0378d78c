// Counts of sessions: started, ready, ended, and failed attempts.

import { describe, expect, test } from "vitest";
import { pools, sessions } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { createMetrics } from "../../../../libs/runtime/metrics.ts";
import { countSessions } from "../../../../services/dispatcher/session-metrics.ts";
import { aPool, aSession } from "../../../kit/fixtures/sessions.ts";
import { linesOf } from "../../../kit/metric-lines.ts";

describe("countSessions", () => {
  const entry = (state: SessionRecord["state"], attempt: number) => ({ state, attempt, at: "t" });
  const ready = (attempt: number, ...before: SessionRecord["history"]): Partial<SessionRecord> => ({
    ...{ state: "ready", attempt, warm: "hot", history: [...before, entry("ready", attempt)] },
  });

  test("counts each start, resume and end once", async () => {
    const metrics = createMetrics("dispatcher");
    const { updated } = countSessions(metrics);
    const update = (change: Partial<SessionRecord>, revision: number) =>
      updated?.(sessions as never, aSession("s", change), revision);
    update({}, 0);
    update(ready(1), 1);
    // Another field of the record changed.
    update({ ...ready(1), timings: { readyMs: 5 } }, 2);
    update({ state: "dispatched", attempt: 2, failures: 1, history: [entry("ready", 1)] }, 3);
    update({ ...ready(2, entry("ready", 1)), failures: 1, warm: "warm" }, 4);
    update({ state: "ended", attempt: 2, failures: 1, endedReason: "completed", fault: "none" }, 5);
    updated?.(pools as never, aPool("echo"), 0);

    expect(await linesOf(metrics, "greenroom_sessions_started_total")).toEqual([
      'greenroom_sessions_started_total{profile="echo",provider="pool"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_sessions_ready_total")).toEqual([
      'greenroom_sessions_ready_total{profile="echo",warmth="hot",kind="start"} 1',
      'greenroom_sessions_ready_total{profile="echo",warmth="warm",kind="resume"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_sessions_ended_total")).toEqual([
      'greenroom_sessions_ended_total{profile="echo",reason="completed",fault="none"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_attempts_failed_total")).toEqual([
      'greenroom_attempts_failed_total{profile="echo"} 1',
    ]);
  });
});
