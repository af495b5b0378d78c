// Rollups of ended sessions.
import { expect, test } from "vitest";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { buildRollups } from "../../../../services/janitor/rollup.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";

test("counts sessions by reason and warmth, and measures starts, from records alone", () => {
  const ended = (id: string, readyAt: string | undefined, changed: Partial<SessionRecord>): SessionRecord =>
    aSession(id, {
      state: "ended",
      ...changed,
      history: [
        { state: "requested", at: "2026-01-31T12:34:00.000Z", attempt: 1 },
        ...(readyAt === undefined ? [] : [{ state: "ready" as const, at: readyAt, attempt: 1 }]),
        { state: "ended", at: "2026-01-31T12:34:56.000Z", attempt: 1 },
      ],
    });
  const rollups = buildRollups([
    ended("a", "2026-01-31T12:34:00.100Z", { endedReason: "completed", warm: "hot" }),
    ended("b", "2026-01-31T12:34:00.300Z", { endedReason: "completed", warm: "warm", attempt: 2 }),
    ended("c", undefined, { endedReason: "no_capacity" }),
    aSession("running"),
  ]);
  expect(rollups).toEqual([
    {
      tenant: "t",
      profile: "echo",
      minute: "2026-01-31T12:34Z",
      sessions: 3,
      byReason: { completed: 2, no_capacity: 1 },
      byWarmth: { hot: 1, warm: 1, none: 1 },
      attempts: 4,
      startMs: { p50: 100, p95: 300, max: 300 },
    },
  ]);
});
