// Daily key figures: computed from call records, and added up.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dailyKpis } from "../../../../../libs/contracts/buckets.ts";
import { mergeKpis } from "../../../../../libs/domain/call/build-kpis.ts";
import { aCall } from "../../../../kit/fixtures/calls.ts";
import { buildKpis, NOON, someCall } from "../../../../kit/fixtures/some-calls.ts";

describe("DailyKpis", () => {
  test("counts calls, answers, warm hits, failovers and reasons", () => {
    const base = { startedAtMs: NOON, startMs: 900, talkMs: 60_000 };
    const [kpi] = buildKpis([
      aCall({ ...base, id: "a" }),
      aCall({ ...base, id: "b", warm: "cold", hasFailover: true }),
      aCall({ ...base, id: "c", talkMs: undefined, reason: "no_capacity", fault: "platform" }),
    ]);
    expect(kpi).toMatchObject({
      tenant: "t",
      profile: "echo",
      day: "20260101",
      calls: 3,
      answered: 2,
      completed: 2,
      warmHits: 1,
      gotAgent: 2,
      failovers: 1,
      callsWithFailover: 1,
      outcomes: { completed: 2, failed: 1 },
      reasons: { completed: 2, no_capacity: 1 },
      faults: { none: 2, platform: 1 },
      start: { count: 2 },
      duration: { count: 2 },
      response: { count: 2 },
    });
    expect(dailyKpis.schema.parse(kpi)).toEqual(kpi);
  });

  test("does not depend on the order of the calls", () => {
    fc.assert(
      fc.property(fc.array(someCall, { maxLength: 30 }), (all) => {
        expect(buildKpis([...all].reverse())).toEqual(buildKpis(all));
      }),
    );
  });

  test("adds up several days to the figures of all their calls", () => {
    fc.assert(
      fc.property(fc.array(someCall, { minLength: 1, maxLength: 30 }), (all) => {
        const oneDay = all.map((call) => ({ ...call, tenant: "t", profile: "p", endedAt: all[0]!.endedAt }));
        const { v, tenant, profile, day, ...whole } = buildKpis(oneDay)[0]!;
        expect(mergeKpis(buildKpis(all))).toEqual(whole);
      }),
    );
  });
});
