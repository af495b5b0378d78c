// Retention by settings: whether, how often and after how many days each tenant's data are deleted.
import { afterEach, describe, expect, test } from "vitest";
import { createReceiptSigner } from "../../../../libs/auth/receipts.ts";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import { readConfig } from "../../../../libs/runtime/config.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { privacySettings, privacySettingsOf } from "../../../../services/privacy/config.ts";
import { startPrivacy } from "../../../../services/privacy/privacy.ts";
import type { Person } from "../../../kit/fixtures/canary.ts";
import { MINUTE_MS } from "../../../kit/worlds/memory-world.ts";
import { ann, bob, type ErasureWorld, erasureWorld, eve } from "../../../kit/worlds/privacy-world.ts";

const HOUR_MS = 60 * MINUTE_MS;
/** Simulated time begins on 2026-01-01, at 00:00. */
const TEN_DAYS_OLD = "2025-12-22T00:00:00.000Z";
const YEARS_OLD = "2015-01-01T00:00:00.000Z";
const A_WEEK_OLD_IN_AN_HOUR = "2025-12-25T01:00:00.000Z";
const zoe: Person = { tenant: "big", user: "zoe", canary: "Canary-Zoe-30be", name: "zoe" };

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Starts a privacy service with the settings of the given environment. */
async function startBy(s: ErasureWorld, env: Record<string, string>): Promise<void> {
  let op = 0;
  const config = readConfig(privacySettings, env);
  const deps = { bus: s.connect("privacy"), clock: s.clock, log: silentLog, instance: "privacy-1" };
  const settings = privacySettingsOf(config);
  const signer = createReceiptSigner(config);
  const privacy = await s.outcome(
    startPrivacy({ ...deps, settings, signer, nextWriteId: () => `op-${++op}` }),
  );
  stops.push(() => s.outcome(privacy.stop()));
}

const keysOf = async (s: ErasureWorld) =>
  (await s.outcome(s.bus.kv.entries(sessions))).map(({ key }) => key).sort();
const idsOf = async (s: ErasureWorld) => (await s.jobs()).map(({ tenant, id }) => `${tenant}.${id}`).sort();

describe("retention by settings", () => {
  test("deletes nothing while disabled, however old", async () => {
    const s = erasureWorld();
    await s.traces(ann, YEARS_OLD);
    const before = (await s.holding(ann.canary)).sort();
    await startBy(s, {
      GREENROOM_TENANT: "acme",
      RETENTION_DAYS: "1, acme=1",
      RETENTION_CLEANUP_INTERVAL_MS: "1000",
    });
    await s.pass(HOUR_MS);
    expect((await s.holding(ann.canary)).sort()).toEqual(before);
    expect(before).toContain("CALLS");
    expect(await s.jobs()).toEqual([]);
  });

  test("deletes nothing when enabled without days", async () => {
    const s = erasureWorld();
    await s.traces(ann, YEARS_OLD);
    const before = (await s.holding(ann.canary)).sort();
    await startBy(s, { RETENTION_CLEANUP_ENABLED: "true", RETENTION_CLEANUP_INTERVAL_MS: "1000" });
    await s.pass(HOUR_MS);
    expect((await s.holding(ann.canary)).sort()).toEqual(before);
    expect(await s.jobs()).toEqual([]);
  });

  test("deletes by each tenant's days, at each interval, and records every run", async () => {
    const s = erasureWorld();
    await s.traces(ann, TEN_DAYS_OLD);
    await s.traces(bob, A_WEEK_OLD_IN_AN_HOUR);
    await s.traces(eve, TEN_DAYS_OLD);
    await s.traces(zoe, YEARS_OLD);
    await startBy(s, {
      GREENROOM_TENANT: "mine",
      RETENTION_CLEANUP_ENABLED: "true",
      RETENTION_DAYS: "7, other=30, big=off",
      RETENTION_CLEANUP_INTERVAL_MS: String(2 * HOUR_MS),
    });
    await s.pass(10 * MINUTE_MS);
    const first = ["acme.retention-000001", "mine.retention-000001", "other.retention-000001"];
    expect(await idsOf(s)).toEqual(first);
    expect(await s.jobs()).toMatchObject(first.map(() => ({ state: "done", askedBy: "schedule" })));
    expect(await s.job("retention-000001")).toMatchObject({
      kind: "retention",
      before: expect.stringMatching(/^2025-12-25T00:0\d:/),
      counts: { sessions: 1, CALLS: 1, conversations: 1 },
      reason: "There is no receipt, because no signing key is configured.",
    });
    expect(await keysOf(s)).toEqual(["acme.s_bob", "big.s_zoe", "other.s_eve"]);
    expect(await s.holding(ann.canary)).not.toContain("CALLS");
    await s.pass(HOUR_MS + 45 * MINUTE_MS);
    expect(await idsOf(s)).toEqual(first);
    expect(await keysOf(s)).toContain("acme.s_bob");
    await s.pass(10 * MINUTE_MS);
    expect(await idsOf(s)).toEqual([...first, ...first.map((id) => id.replace("01", "02"))].sort());
    expect(await keysOf(s)).toEqual(["big.s_zoe", "other.s_eve"]);
    expect(await s.holding(zoe.canary)).toContain("CALLS");
    expect(await s.holding(eve.canary)).toContain("CALLS");
  });

  test("creates no more jobs after the service has stopped", async () => {
    const s = erasureWorld();
    await startBy(s, {
      GREENROOM_TENANT: "acme",
      RETENTION_CLEANUP_ENABLED: "true",
      RETENTION_DAYS: "7",
      RETENTION_CLEANUP_INTERVAL_MS: "60000",
    });
    await s.pass(5 * MINUTE_MS);
    const created = (await s.jobs()).length;
    expect(created).toBeGreaterThan(2);
    for (const stop of stops.splice(0)) await stop();
    await s.pass(5 * MINUTE_MS);
    expect(await s.jobs()).toHaveLength(created);
  });
});
