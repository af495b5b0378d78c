// Deletion of a tenant's or a person's data: what goes, what remains, and the receipt; and retention by age.
import { describe, expect, test } from "vitest";
import { verifyReceipt } from "../../../../libs/auth/receipts.ts";
import { deletionJobs, sessions, tasks } from "../../../../libs/contracts/buckets.ts";
import type { DeletionJob } from "../../../../libs/contracts/privacy/deletion.ts";
import { calls, sessionEvents, taskEvents } from "../../../../libs/contracts/streams.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { createDueJobs, nextRun } from "../../../../services/privacy/retention.ts";
import { daysFor, readRetentionDays } from "../../../../services/privacy/retention-days.ts";
import { endedSession, type Person } from "../../../kit/fixtures/canary.ts";
import { AT, aSession } from "../../../kit/fixtures/sessions.ts";
import { MINUTE_MS } from "../../../kit/worlds/memory-world.ts";
import { ann, bob, type ErasureWorld, erasureWorld, eve, SECRET } from "../../../kit/worlds/privacy-world.ts";

const DAY_MS = 24 * 60 * MINUTE_MS;

const aJob = (changed: Partial<DeletionJob>): DeletionJob => ({
  v: 1,
  id: "del_1",
  tenant: "acme",
  kind: "tenant",
  askedBy: "api",
  askedAt: AT,
  state: "asked",
  ...{ takeovers: 0, passes: 0, counts: {}, sessions: 0, tasks: 0, heartbeat: 0, writeId: "x" },
  ...changed,
});

/** Every store that may contain a person's data. */
const PERSONAL = [
  ...["CALLS", "DEAD_LETTERS", "HANDOFFS", "SESSIONS", "SESSION_LOGS", "TASKS", "TASK_REQUESTS", "WEBHOOKS"],
  ...[
    "WEBHOOK_DELIVERIES",
    "conversations",
    "claims",
    "invitations",
    "launches",
    "usage_reports",
    "session_metadata",
    "sessions",
  ],
  "tasks",
];

describe("deletion of a person's data", () => {
  test("deletes everything of that person, and nothing of others", async () => {
    const s = erasureWorld();
    for (const person of [ann, bob, eve]) await s.traces(person);
    expect((await s.holding(ann.canary)).sort()).toEqual([...PERSONAL].sort());
    const others = { bob: await s.holding(bob.canary), eve: await s.holding(eve.canary) };
    await s.privacy("one");
    await s.request(aJob({ kind: "user", user: "ann", userHash: "hash" }));
    await s.pass(2 * MINUTE_MS);
    expect(await s.job()).toMatchObject({ state: "done", sessions: 2, tasks: 1, userHash: "hash" });
    for (const canary of [ann.canary, "s_ann", "t_ann"]) expect(await s.holding(canary)).toEqual([]);
    expect(JSON.stringify(await s.job())).not.toContain('"ann"');
    expect(await s.holding(bob.canary)).toEqual(others.bob);
    expect(await s.holding(eve.canary)).toEqual(others.eve);
  });

  test("finds sessions whose records are gone, and by the called number", async () => {
    const s = erasureWorld();
    const called: Person = { ...ann, user: "+15550100" };
    await s.traces(called);
    await s.outcome(s.bus.admin.purge(sessions, "acme.>"));
    await s.privacy("one");
    await s.request(aJob({ kind: "user", user: "+15550100" }));
    await s.pass(2 * MINUTE_MS);
    expect((await s.job())?.state).toBe("done");
    expect(await s.holding(ann.canary)).toEqual([]);
  });

  test("ends running sessions first, and waits until they have ended", async () => {
    const s = erasureWorld();
    const running = aSession("s_run", { tenant: "acme", user: { id: "ann", name: ann.canary } });
    await s.outcome(s.bus.kv.update(sessions, running, 0));
    await s.privacy("one");
    await s.request(aJob({ kind: "user", user: "ann" }));
    await s.pass(MINUTE_MS);
    expect(await s.job()).toMatchObject({ state: "waiting", reason: expect.stringContaining("1 sessions") });
    const claims = s.server.stored(sessionEvents).map(({ message }) => message);
    expect(claims).toMatchObject([{ type: "end_requested", sessionId: "s_run" }]);
    const entry = await s.outcome(s.bus.kv.get(sessions, "acme.s_run"));
    await s.outcome(s.bus.kv.update(sessions, { ...running, state: "ended" as const }, entry?.revision ?? 0));
    await s.pass(2 * MINUTE_MS);
    expect((await s.job())?.state).toBe("done");
    expect(await s.holding("s_run")).toEqual([]);
  });

  test("cancels open tasks", async () => {
    const s = erasureWorld();
    await s.traces({ ...ann, user: "+15550100" });
    const entry = await s.outcome(s.bus.kv.get(tasks, "acme.t_ann"));
    const { endedAt: _, ...open } = { ...entry!.value, state: "queued" as const };
    await s.outcome(s.bus.kv.update(tasks, open, entry!.revision));
    await s.outcome(s.bus.admin.purge(taskEvents, "task.acme.>"));
    await s.privacy("one");
    await s.request(aJob({ kind: "user", user: "+15550100" }));
    await s.pass(MINUTE_MS);
    expect(s.server.stored(taskEvents).map(({ message }) => message.type)).toContain("cancel_requested");
    expect((await s.job())?.state).toBe("waiting");
  });

  test("deletes late writes to a store that was already processed", async () => {
    const s = erasureWorld();
    await s.traces(ann);
    await s.privacy("one");
    await s.request(aJob({ kind: "user", user: "ann" }));
    await s.pass(3000);
    expect(await s.holding(ann.canary)).toEqual([]);
    // A calls service in progress stores its call now.
    await s.outcome(s.bus.streams.publish(calls, { ...(await lateCall()), reason: ann.canary }));
    expect(await s.holding(ann.canary)).toEqual(["CALLS"]);
    await s.pass(2 * MINUTE_MS);
    expect((await s.job())?.state).toBe("done");
    expect(await s.holding(ann.canary)).toEqual([]);
  });
});

const lateCall = async () => {
  const { buildCall } = await import("../../../../libs/domain/call/build-call.ts");
  return buildCall(endedSession(ann, AT), [], []);
};

describe("deletion of a tenant's data", () => {
  test("deletes everything in every store but the proof, and nothing of others", async () => {
    const s = erasureWorld();
    for (const person of [ann, bob, eve]) await s.traces(person);
    const eves = await s.holding(eve.canary);
    await s.privacy("one");
    await s.request(aJob({ kind: "tenant" }));
    await s.pass(2 * MINUTE_MS);
    const job = await s.job();
    expect(job?.state).toBe("done");
    expect(await s.holding(ann.canary)).toEqual([]);
    expect(await s.holding(bob.canary)).toEqual([]);
    expect(await s.holding("acme")).toEqual(["deletion_jobs"]);
    expect(await s.holding(eve.canary)).toEqual(eves);
    // Only what existed is counted: two people with one session each.
    expect(job?.counts).toMatchObject({
      CALLS: 2,
      sessions: 2,
      conversations: 2,
      HANDOFFS: 4,
      DEAD_LETTERS: 2,
    });
  });

  test("creates a receipt with the counts, which nobody can change", async () => {
    const s = erasureWorld();
    await s.traces(ann);
    await s.privacy("one");
    await s.request(aJob({ kind: "tenant", askedBy: "api: the controller" }));
    await s.pass(2 * MINUTE_MS);
    const { receipt = "", counts } = (await s.job()) ?? {};
    const claims = await verifyReceipt(receipt, { secret: SECRET });
    expect(claims).toMatchObject({
      jti: "del_1",
      tenant: "acme",
      kind: "tenant",
      counts,
      askedBy: "api: the controller",
    });
    const [header, payload, signature] = receipt.split(".");
    const forged = Buffer.from(JSON.stringify({ ...claims, total: 0 })).toString("base64url");
    await expect(verifyReceipt(`${header}.${forged}.${signature}`, { secret: SECRET })).rejects.toThrow(
      "changed",
    );
    await expect(
      verifyReceipt(`${header}.${payload}.${signature}`, { secret: `${SECRET}!` }),
    ).rejects.toThrow();
  });

  test("continues with another instance when the first dies, and runs once despite several instances", async () => {
    const s = erasureWorld();
    for (const person of [ann, bob]) await s.traces(person);
    const one = await s.privacy("one");
    await s.request(aJob({ kind: "user", user: "ann" }));
    await s.pass(2000);
    expect((await s.job())?.by).toBe("one");
    (one.bus as unknown as { crash(): void }).crash();
    await s.privacy("two");
    await s.privacy("three");
    await s.pass(3 * MINUTE_MS);
    expect(await s.job()).toMatchObject({ state: "done", takeovers: 2 });
    expect(await s.holding(ann.canary)).toEqual([]);
    const { heartbeat } = (await s.job()) ?? {};
    await s.pass(MINUTE_MS);
    expect((await s.job())?.heartbeat).toBe(heartbeat);
  });
});

describe("retention", () => {
  const old = "2025-12-20T10:00:00.000Z";
  const deps = (s: ErasureWorld, days: string) => ({
    ...{ bus: s.bus, clock: s.clock, log: silentLog, instance: "one", nextWriteId: () => "op" },
    settings: { intervalMs: DAY_MS, days: readRetentionDays(days), tenant: "acme" },
  });

  test("deletes data older than allowed, and keeps the rest", async () => {
    const s = erasureWorld();
    await s.traces(ann, old);
    await s.traces(bob, AT);
    const bobs = await s.holding(bob.canary);
    await s.outcome(createDueJobs(deps(s, "7")));
    await s.privacy("one");
    await s.pass(MINUTE_MS);
    expect(await s.job("retention-000001")).toMatchObject({
      state: "done",
      kind: "retention",
      askedBy: "schedule",
    });
    // Handoffs and invitations expire after a day, and dead letters after seven.
    expect(
      (await s.holding(ann.canary)).filter(
        (store) => !["HANDOFFS", "invitations", "DEAD_LETTERS", "TASK_REQUESTS"].includes(store),
      ),
    ).toEqual([]);
    expect(await s.holding(bob.canary)).toEqual(bobs);
  });

  test("creates one job a day, however many instances check, and none while a run is in progress", async () => {
    const s = erasureWorld();
    const both = () => Promise.all([createDueJobs(deps(s, "7")), createDueJobs(deps(s, "7"))]);
    await s.outcome(both());
    await s.outcome(both());
    expect((await s.outcome(s.bus.kv.entries(deletionJobs))).map(({ value }) => value.id)).toEqual([
      "retention-000001",
    ]);
    await s.privacy("one");
    await s.pass(MINUTE_MS);
    await s.outcome(both());
    expect(await s.outcome(s.bus.kv.entries(deletionJobs))).toHaveLength(1);
    await s.pass(DAY_MS);
    await s.outcome(both());
    expect((await s.job("retention-000002"))?.state).toBe("asked");
  });

  test("follows each tenant's setting", async () => {
    const s = erasureWorld();
    await s.traces(ann, old);
    await s.traces(eve, old);
    await s.outcome(createDueJobs(deps(s, "30, other=5, acme=off")));
    expect((await s.outcome(s.bus.kv.entries(deletionJobs))).map(({ key }) => key)).toEqual([
      "other.retention-000001",
    ]);
  });

  test("reads days from one setting", () => {
    const days = readRetentionDays("30, acme=7, big=off");
    expect([daysFor(days, "acme"), daysFor(days, "big"), daysFor(days, "else")]).toEqual([7, undefined, 30]);
    expect(daysFor(readRetentionDays(""), "acme")).toBeUndefined();
    for (const wrong of ["0", "-1", "acme=", "acme=x", "7 days", "4000"])
      expect(() => readRetentionDays(wrong)).toThrow(wrong);
  });

  test("starts a run when the last one is done and long enough ago", () => {
    const run = (number: number, state: DeletionJob["state"], askedAt = AT) => ({
      id: `retention-00000${number}`,
      state,
      askedAt,
    });
    const now = Date.parse(AT);
    expect(nextRun([], now, DAY_MS)).toBe(1);
    expect(nextRun([run(1, "running")], now + 9 * DAY_MS, DAY_MS)).toBeUndefined();
    expect(nextRun([run(1, "done")], now + DAY_MS - 1, DAY_MS)).toBeUndefined();
    expect(nextRun([run(2, "failed"), run(1, "done")], now + DAY_MS, DAY_MS)).toBe(3);
  });
});
