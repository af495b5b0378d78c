// Answers of a host to assigns and releases, also repeated, late or out of order.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../../libs/bus/bus.ts";
import { sessions } from "../../../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../../../libs/contracts/errors.ts";
import type { Assign } from "../../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import type { StoredText } from "../../../../../libs/contracts/sessions/stored-text.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { ResumedConversation } from "../../../../../services/agent-host/pool/messages.ts";
import { Assignments } from "../../../../../services/agent-host/sessions/assignments.ts";
import { poolScene } from "../../../../kit/fakes/scripted-processes.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";

const EPOCH = 7;

function scene(options: { min?: number; refusal?: () => string | undefined } = {}) {
  const pool = poolScene({ min: options.min ?? 2 }, false);
  pool.processes[0]?.emit({ type: "loaded", pool: {}, isolation: "shared" });
  pool.warmUp();
  const stored = new Map<string, SessionRecord | StoredText>();
  const conversations = new Map<string, ResumedConversation>();
  const store = { isDown: false, beforeAnswer: () => {} };
  const bus = {
    kv: {
      get: async (_bucket: unknown, key: string) => {
        if (store.isDown) throw new GreenroomError("storage_unavailable", "NATS is away");
        store.beforeAnswer();
        const value = stored.get(key);
        return value === undefined ? undefined : { key, value, revision: 1 };
      },
    },
  } as unknown as Bus;
  const assignments = new Assignments({
    bus,
    clock: pool.clock,
    log: silentLog,
    hostId: "h",
    epoch: () => EPOCH,
    pools: new Map([["echo", pool.pool]]),
    conversations: { previousFor: async ({ sessionId }) => conversations.get(sessionId) },
    refusal: options.refusal ?? (() => undefined),
  });
  /** The record after the dispatcher has persisted this attempt on this host. */
  const dispatch = (id: string, attempt: number, changed: Partial<SessionRecord> = {}) => {
    const record = aSession(id, { state: "dispatched", host: "h", hostEpoch: EPOCH, attempt, ...changed });
    stored.set(sessions.keyOf(record), record);
  };
  return { ...pool, assignments, dispatch, store, stored, conversations };
}

const anAssign = (sessionId: string, attempt: number, changed: Partial<Assign> = {}): Assign => ({
  tenant: "t",
  sessionId,
  attempt,
  epoch: EPOCH,
  profile: "echo",
  requestedWarmth: "warm",
  room: `session-${sessionId}`,
  identity: `agent-${sessionId}-${attempt}`,
  token: "token",
  user: { id: "u", name: "U" },
  metadata: {},
  recovering: false,
  ...changed,
});

const aRelease = (sessionId: string, attempt: number) => ({
  tenant: "t",
  sessionId,
  attempt,
  reason: "over",
});

describe("Assignments.handleAssign", () => {
  test("starts one job for repeated assigns, with the same answer", async () => {
    const { assignments, dispatch, processes } = scene();
    dispatch("a", 1);
    const answers = await Promise.all([1, 2, 3].map(() => assignments.handleAssign(anAssign("a", 1))));
    expect(answers).toEqual([1, 2, 3].map(() => ({ verdict: "accepted" })));
    expect(processes[0]?.slots("run")).toHaveLength(1);
    expect(assignments.assigned).toBe(1);
  });

  test("passes on the conversation of the previous agent when the session recovers", async () => {
    const { assignments, dispatch, processes, conversations } = scene();
    const item = { id: "i", type: "message" as const, createdAt: 1, role: "user", content: ["Hello."] };
    conversations.set("a", { attempt: 1, items: [item], omitted: 0 });
    dispatch("a", 2);
    await assignments.handleAssign(anAssign("a", 2, { recovering: true }));
    expect(processes[0]?.received.find(({ type }) => type === "run")).toMatchObject({
      job: { attempt: 2, recovering: true, resumes: { attempt: 1, items: [item] } },
    });
  });

  test("passes on large metadata from their bucket, and takes no session without them", async () => {
    const { assignments, dispatch, processes, stored, numbers } = scene();
    const storedMetadata = { bytes: 5002, hash: "abc" };
    dispatch("a", 1);
    const assign = anAssign("a", 1, { storedMetadata });
    expect(await assignments.handleAssign(assign)).toEqual({
      ...{ verdict: "stale", reason: "the metadata could not be read" },
    });
    expect(numbers()).toMatchObject({ warm: 2, busy: 0 });
    const text = `é${"x".repeat(5000)}`;
    const base64 = Buffer.from(text).toString("base64");
    stored.set("t.a.abc", { v: 1, tenant: "t", sessionId: "a", hash: "abc", base64 });
    dispatch("a", 2);
    await assignments.handleAssign(anAssign("a", 2, { storedMetadata }));
    expect(processes[0]?.received.find(({ type }) => type === "run")).toMatchObject({
      job: { metadata: text },
    });
  });

  test("repeats that it declined, even if an agent is free by then", async () => {
    let reason: string | undefined = "the host is full";
    const { assignments, dispatch } = scene({ refusal: () => reason });
    dispatch("a", 1);
    const declined = { verdict: "declined", reason: "the host is full" };
    expect(await assignments.handleAssign(anAssign("a", 1))).toEqual(declined);
    reason = undefined;
    expect(await assignments.handleAssign(anAssign("a", 1))).toEqual(declined);
    dispatch("a", 2);
    expect(await assignments.handleAssign(anAssign("a", 2))).toEqual({ verdict: "accepted" });
  });

  test("rejects an assign with another epoch as stale", async () => {
    const { assignments, dispatch, numbers } = scene();
    dispatch("a", 1);
    expect(await assignments.handleAssign(anAssign("a", 1, { epoch: EPOCH - 1 }))).toMatchObject({
      verdict: "stale",
    });
    expect(numbers().busy).toBe(0);
  });

  test.each([
    ["has a newer attempt", { attempt: 2 }],
    ["has another host", { host: "other" }],
    ["has another epoch of this host", { hostEpoch: EPOCH + 1 }],
    ["has ended", { state: "ended" as const }],
  ])("starts nothing for a late assign when the record %s", async (_when, changed) => {
    const { assignments, dispatch, numbers, processes } = scene();
    dispatch("a", 1, changed);
    expect(await assignments.handleAssign(anAssign("a", 1))).toMatchObject({ verdict: "stale" });
    expect(processes[0]?.slots("run")).toEqual([]);
    expect(numbers()).toMatchObject({ warm: 2, busy: 0 });
    expect(assignments.count).toBe(0);
  });

  test("keeps the agent of a newer attempt when an old assign arrives late", async () => {
    const { assignments, dispatch, processes } = scene();
    dispatch("a", 2);
    await assignments.handleAssign(anAssign("a", 2));
    expect(await assignments.handleAssign(anAssign("a", 1))).toMatchObject({ verdict: "stale" });
    expect(processes[0]?.slots("release")).toEqual([]);
    expect(await assignments.handleRelease(aRelease("a", 2))).toEqual({ released: true });
  });

  test("releases the agent of the older attempt", async () => {
    const { assignments, dispatch, processes } = scene();
    dispatch("a", 1);
    await assignments.handleAssign(anAssign("a", 1));
    dispatch("a", 2);
    expect(await assignments.handleAssign(anAssign("a", 2))).toEqual({ verdict: "accepted" });
    const [first, second] = processes[0]?.slots("run") ?? [];
    expect(second).toBeDefined();
    expect(processes[0]?.slots("release")).toEqual([first]);
    expect(await assignments.handleRelease(aRelease("a", 2))).toEqual({ released: true });
  });

  test("keeps the newer of two concurrent attempts, whichever is read first", async () => {
    const { assignments, dispatch, numbers } = scene();
    dispatch("a", 2);
    const [old, now] = await Promise.all([
      assignments.handleAssign(anAssign("a", 1)),
      assignments.handleAssign(anAssign("a", 2)),
    ]);
    expect([old.verdict, now.verdict]).toEqual(["stale", "accepted"]);
    expect(assignments.count).toBe(1);
    expect(numbers().busy).toBe(1);
    expect(await assignments.handleRelease(aRelease("a", 2))).toEqual({ released: true });
  });

  test("starts nothing when the release arrives while the record is read", async () => {
    const { assignments, dispatch, processes, store } = scene();
    dispatch("a", 1);
    store.beforeAnswer = () => void assignments.handleRelease(aRelease("a", 1));
    expect(await assignments.handleAssign(anAssign("a", 1))).toMatchObject({ verdict: "stale" });
    expect(processes[0]?.slots("run")).toEqual([]);
  });

  test("starts nothing while the store is unavailable", async () => {
    const { assignments, dispatch, numbers, store } = scene();
    dispatch("a", 1);
    store.isDown = true;
    expect(await assignments.handleAssign(anAssign("a", 1))).toMatchObject({
      verdict: "stale",
      reason: "the record could not be read",
    });
    expect(numbers()).toMatchObject({ warm: 2, busy: 0 });
  });

  test("declines an unknown profile, or when no agent of the requested warmth is free", async () => {
    const { assignments, dispatch } = scene({ min: 0 });
    dispatch("a", 1);
    expect(await assignments.handleAssign(anAssign("a", 1, { profile: "talk" }))).toMatchObject({
      verdict: "declined",
    });
    dispatch("b", 1);
    expect(await assignments.handleAssign(anAssign("b", 1, { requestedWarmth: "hot" }))).toEqual({
      verdict: "declined",
      reason: "no hot agent of echo is free",
    });
  });
});

describe("Assignments.handleRelease", () => {
  test("ignores a release of another attempt", async () => {
    const { assignments, dispatch, processes } = scene();
    dispatch("a", 2);
    await assignments.handleAssign(anAssign("a", 2));
    expect(await assignments.handleRelease(aRelease("a", 1))).toEqual({ released: false });
    expect(processes[0]?.slots("release")).toEqual([]);
  });

  test.each([true, false])("tells the agent whether another one continues (%s)", async (sessionGoesOn) => {
    const { assignments, clock, dispatch, processes } = scene();
    dispatch("a", 1);
    await assignments.handleAssign(anAssign("a", 1));
    void assignments.handleRelease({ ...aRelease("a", 1), ...(sessionGoesOn ? {} : { untilLeft: true }) });
    await clock.advance(0);
    expect(processes[0]?.received).toContainEqual(
      expect.objectContaining({ type: "release", sessionGoesOn }),
    );
  });
});

describe("Assignments.handleRelease before the room is deleted", () => {
  const released = () => {
    const all = scene();
    all.dispatch("a", 1);
    const answers: unknown[] = [];
    const release = async () => {
      await all.assignments.handleAssign(anAssign("a", 1));
      void all.assignments
        .handleRelease({ ...aRelease("a", 1), untilLeft: true })
        .then((it) => answers.push(it));
      await all.clock.advance(500);
      return all.processes[0]?.slots("release")[0] ?? "";
    };
    return { ...all, answers, release };
  };

  test("answers when the agent has left the room", async () => {
    const { answers, clock, release, processes } = released();
    const slot = await release();
    expect(answers).toEqual([]);
    processes[0]?.emit({ type: "left", slot });
    await clock.advance(0);
    expect(answers).toEqual([{ released: true }]);
  });

  test("answers after a second when the agent doesn't leave", async () => {
    const { answers, clock, release } = released();
    await release();
    expect(answers).toEqual([]);
    await clock.advance(500);
    expect(answers).toEqual([{ released: true }]);
  });

  test("waits for an agent that has ended its session by itself, until it has left", async () => {
    const { answers, assignments, clock, pool, processes } = released();
    await assignments.handleAssign(anAssign("a", 1));
    const slot = processes[0]?.slots("run")[0] ?? "";
    processes[0]?.emit({ type: "ended", slot, reason: "bye", lost: false });
    for (const busy of pool.busySlots()) assignments.forget(busy);
    expect(assignments.count).toBe(0);
    void assignments.handleRelease({ ...aRelease("a", 1), untilLeft: true }).then((it) => answers.push(it));
    await clock.advance(500);
    expect(answers).toEqual([]);
    processes[0]?.emit({ type: "left", slot });
    await clock.advance(0);
    expect(answers).toEqual([{ released: false }]);
    expect(processes[0]?.slots("release")).toEqual([]);
  });
});

describe("Assignments.checkRecords", () => {
  test("releases sessions that another host serves, and keeps its own", async () => {
    const { assignments, dispatch, processes } = scene();
    for (const id of ["ours", "theirs"]) {
      dispatch(id, 1);
      await assignments.handleAssign(anAssign(id, 1));
    }
    dispatch("theirs", 2, { host: "other" });
    await assignments.checkRecords();
    expect(processes[0]?.slots("release")).toEqual([processes[0]?.slots("run")[1]]);
  });

  test("releases nothing while the store is unavailable", async () => {
    const { assignments, dispatch, processes, store } = scene();
    dispatch("a", 1);
    await assignments.handleAssign(anAssign("a", 1));
    store.isDown = true;
    await expect(assignments.checkRecords()).rejects.toThrow("NATS is away");
    expect(processes[0]?.slots("release")).toEqual([]);
  });
});
