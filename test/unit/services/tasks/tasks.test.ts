// The tasks service on an in-memory bus: tasks through crashes, repeated messages and several processes.
import { describe, expect, test, vi } from "vitest";
import { type Bucket, callSlots, sessions, tasks } from "../../../../libs/contracts/buckets.ts";
import {
  type Channel,
  deadLetters,
  sessionEvents,
  taskEvents,
  taskRequests,
} from "../../../../libs/contracts/streams.ts";
import { isTaskEnd, type TaskRecord } from "../../../../libs/contracts/tasks/task.ts";
import { parseCallingHours } from "../../../../services/tasks/calling-hours.ts";
import { AT } from "../../../kit/fixtures/sessions.ts";
import { type Intercept, notReached, TALK, taskWorld } from "../../../kit/worlds/task-world.ts";

// Hours of simulated time take a while on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const MINUTE_MS = 60_000;
const isOver = ({ state }: TaskRecord): boolean => isTaskEnd(state);
const statesOf = (task: TaskRecord) => task.attempts.map(({ states }) => states.map(({ state }) => state));
const about = (task: Pick<TaskRecord, "taskId" | "tenant" | "attempt">) => ({
  tenant: task.tenant,
  taskId: task.taskId,
  at: AT,
  attempt: task.attempt,
});

describe("a task", () => {
  test("runs from its request to its end in one session, whose request has the call", async () => {
    const world = await taskWorld();
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1", { from: "+15550199", metadata: { order: 7 } });
    const done = await world.when("t_1", isOver);
    expect(statesOf(done)).toEqual([["dialing", "ringing", "answered", "inProgress", "completed"]]);
    expect(done.attempts[0]).toMatchObject({ sessionId: "t_1-1", sipCode: 200, answeredBy: "human" });
    const [requested] = world.server.stored(sessionEvents).map(({ message }) => message);
    expect(requested).toMatchObject({
      type: "requested",
      sessionId: "t_1-1",
      provider: "sip",
      call: { to: "+15550100", from: "+15550199", task: "t_1", taskAttempt: 1 },
      metadata: { order: 7 },
      maxDurationMs: 900_000,
    });
    expect(world.exchange.dialed).toEqual(["t_1-1"]);
  });

  test("is tried three times, 10 and 20 s apart, when nobody is reached, with a reason for each", async () => {
    const world = await taskWorld({ script: () => notReached("busy", 486) });
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1");
    const began = world.clock.monotonic();
    const done = await world.when("t_1", isOver);
    expect(done.state).toBe("busy");
    expect(done.attempts.map(({ error }) => error?.message)).toEqual(
      Array(3).fill("the call ended as busy (SIP 486)"),
    );
    expect(world.exchange.dialed).toEqual(["t_1-1", "t_1-2", "t_1-3"]);
    expect(world.clock.monotonic() - began).toBeGreaterThan(30_000);
    expect(world.clock.monotonic() - began).toBeLessThan(45_000);
  });

  test("ends at once for a bad number or an unknown profile", async () => {
    const world = await taskWorld({ script: () => notReached("failed", 404, { permanent: true }) });
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1");
    await world.request("t_2", { profile: "nobody" });
    expect(await world.when("t_1", isOver)).toMatchObject({ state: "failed", attempt: 1 });
    expect(await world.when("t_2", isOver)).toMatchObject({
      state: "failed",
      attempt: 0,
      error: { code: "unknown_profile", retryable: false },
    });
  });

  test("is never retried when its outcome is unknown", async () => {
    const script = () => [...TALK.slice(0, 4), { ends: "agent_lost" } as const];
    const world = await taskWorld({ script });
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1");
    expect(await world.when("t_1", isOver)).toMatchObject({ state: "unknown", attempt: 1 });
    await world.clock.advance(60 * MINUTE_MS);
    expect(world.exchange.dialed).toEqual(["t_1-1"]);
  });

  test("waits while no agent is free, or no instance runs", async () => {
    const world = await taskWorld();
    await world.request("t_1");
    await world.clock.advance(60 * MINUTE_MS);
    const first = await world.tasks("tasks-1");
    await world.clock.advance(60 * MINUTE_MS);
    expect(world.task("t_1")).toMatchObject({ state: "queued", attempt: 0 });
    await first.stop();
    await world.host();
    await world.clock.advance(60 * MINUTE_MS);
    await world.tasks("tasks-2");
    expect(await world.when("t_1", isOver)).toMatchObject({ state: "completed", attempt: 1 });
  });

  test("is queued again without a failure when no agent was found after all", async () => {
    const world = await taskWorld({
      script: (_, n) => (n < 5 ? [{ wait: 1000 }, { ends: "no_capacity" }] : TALK),
    });
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1");
    expect(await world.when("t_1", isOver)).toMatchObject({ state: "completed", attempt: 5, failures: 0 });
    expect(world.exchange.dialed).toEqual(["t_1-5"]);
  });

  test("starts neither before its time nor outside of the calling hours", async () => {
    // Simulated time begins on a Thursday at midnight, which is one o'clock in Berlin.
    const callingHours = parseCallingHours("Mo-Fr 01:20-01:40, Th 02:00-02:10 Europe/Berlin");
    const limits = { perTenant: 10, perProvider: () => 10, total: 100, callingHours };
    const world = await taskWorld({ settings: { limits } });
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1");
    await world.request("t_2", { scheduleAt: "2026-01-01T01:30:00+01:00" });
    await world.request("t_3", { scheduleAt: "2026-01-01T00:45:00Z" });
    const beganAt = async (id: string) => {
      await world.when(id, ({ state }) => state === "dialing", 120 * MINUTE_MS);
      return new Date(world.clock.now()).toISOString().slice(0, 16);
    };
    expect(await beganAt("t_1")).toBe("2026-01-01T00:20");
    expect(await beganAt("t_2")).toBe("2026-01-01T00:30");
    expect(await beganAt("t_3")).toBe("2026-01-01T01:00");
  });

  test("expires after two weeks without a start, and waits again after a retry", async () => {
    const world = await taskWorld();
    await world.request("t_1");
    const first = await world.tasks("tasks-1");
    await world.when("t_1", () => true);
    await first.stop();
    await world.clock.advance(15 * 24 * 60 * MINUTE_MS);
    await world.tasks("tasks-2");
    const expired = await world.when("t_1", isOver);
    expect(expired).toMatchObject({ state: "failed", attempt: 0, error: { code: "expired" } });
    await world.publish({ ...about(expired), type: "retry_requested", life: 1 });
    await world.when("t_1", ({ life }) => life === 2);
    await world.clock.advance(5 * MINUTE_MS);
    expect(world.task("t_1")).toMatchObject({ state: "queued", life: 2 });
  });

  test("ends with its session at the time limit of an attempt", async () => {
    const script = () => [...TALK.slice(0, 7), { wait: 60 * MINUTE_MS }];
    const world = await taskWorld({ script });
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1");
    const began = world.clock.monotonic();
    const done = await world.when("t_1", isOver);
    expect(done).toMatchObject({ state: "failed", error: { code: "attempt_limit" } });
    expect(world.clock.monotonic() - began).toBeGreaterThanOrEqual(15 * MINUTE_MS);
    await world.clock.advance(1000);
    expect(world.exchange.ended).toEqual(["t_1-1"]);
  });

  test("is canceled while it waits or talks, with its call, and can be retried", async () => {
    const world = await taskWorld();
    await world.host();
    await world.tasks("tasks-1");
    await world.request("t_1", { scheduleAt: "2026-01-20T00:00:00Z" });
    await world.request("t_2");
    const waiting = await world.when("t_1", () => true);
    const talking = await world.when("t_2", ({ state }) => state === "inProgress");
    for (const task of [waiting, talking])
      await world.publish({ ...about(task), type: "cancel_requested", reason: "by the API" });
    await world.when("t_1", ({ state }) => state === "canceled");
    const canceled = await world.when("t_2", ({ state }) => state === "canceled");
    await world.clock.advance(1000);
    expect(world.exchange.ended).toEqual(["t_2-1"]);
    await world.publish({ ...about(canceled), type: "retry_requested", life: 1 });
    const again = await world.when("t_2", ({ life, state }) => life === 2 && isTaskEnd(state));
    expect(again.attempts.map(({ state }) => state)).toEqual(["canceled", "completed"]);
  });

  test("is created once for repeated requests with the same key", async () => {
    const world = await taskWorld();
    await world.host();
    await world.tasks("tasks-1");
    const { outcome, client } = world;
    const request = { tenant: "t", to: "+15550100", profile: "echo", idempotencyKey: "order 7" };
    await outcome(client.streams.publish(taskRequests, request));
    await world.clock.advance(20 * MINUTE_MS);
    await outcome(client.streams.publish(taskRequests, request));
    await world.clock.advance(5 * MINUTE_MS);
    const mine = world.server.entries(tasks).filter(({ value }) => value.profile === "echo");
    expect(mine.map(({ value }) => value.state)).toEqual(["completed"]);
    expect(world.exchange.dialed).toHaveLength(1);
  });
});

test("stores an unreadable request as a dead letter, and processes those behind it", async () => {
  const world = await taskWorld();
  await world.host();
  await world.tasks("tasks-1");
  const { outcome, client } = world;
  const far = { tenant: "t", to: "+15550100", profile: "echo", scheduleAt: "2026-06-01T00:00:00Z" };
  for (const request of [{ tenant: "t", to: "call me", profile: "echo" }, far, { ...far, provider: "fax" }])
    await outcome(client.streams.publish(taskRequests, request as never));
  await world.request("t_1");
  await world.when("t_1", isOver);
  const letters = world.server.stored(deadLetters).map(({ message }) => message.reason);
  expect(letters).toEqual([
    expect.stringContaining("A number has the form"),
    expect.stringContaining("60 days ahead"),
    expect.stringContaining("provider"),
  ]);
});

describe("several tasks services", () => {
  test("respects the limits across instances, and serves tenants in turn", async () => {
    const limits = { perTenant: 4, perProvider: () => 6, total: 100, callingHours: undefined };
    const world = await taskWorld({
      settings: { limits },
      faults: { hopMs: [1, 40], stale: 0.5, staleMs: 3000 },
    });
    await world.host();
    await Promise.all([1, 2, 3].map((n) => world.tasks(`tasks-${n}`)));
    for (let n = 0; n < 20; n++) await world.request(`t_a${n}`, { tenant: "a" });
    for (let n = 0; n < 20; n++) await world.request(`t_b${n}`, { tenant: "b" });
    await world.when("t_b19", isOver, 60 * MINUTE_MS);
    await world.when("t_a19", isOver, 60 * MINUTE_MS);
    expect(world.mostAtOnce()).toBe(6);
    for (const tenant of ["a", "b"]) {
      const most = world.mostAtOnce((task) => task.tenant === tenant);
      expect(most, tenant).toBeLessThanOrEqual(4);
      expect(most, tenant).toBeGreaterThanOrEqual(3);
    }
    expect(world.exchange.made).toHaveLength(40);
    expect(new Set(world.exchange.dialed).size).toBe(40);
  });

  test("respects the rate across instances", async () => {
    const world = await taskWorld({ settings: { rate: 2 } });
    await world.host();
    await Promise.all([1, 2, 3].map((n) => world.tasks(`tasks-${n}`)));
    await world.clock.advance(5000);
    for (let n = 0; n < 10; n++) await world.request(`t_${n}`);
    const began = world.clock.monotonic();
    await world.clock.runUntil(() => world.exchange.made.length === 10, MINUTE_MS);
    expect(world.clock.monotonic() - began).toBeGreaterThanOrEqual(4000);
    expect(world.clock.monotonic() - began).toBeLessThan(8000);
  });
});

/** Crashes before, or right after, the first publication of the given type. */
const dieAt =
  (channel: Channel<never>, type: string, when: "before" | "after"): Intercept =>
  (bus, die) => ({
    streams: {
      async publish<T>(to: Channel<T>, message: T) {
        const isTarget =
          (to as unknown) === channel && (message as unknown as { type: string }).type === type;
        if (isTarget && when === "before") return die();
        const answer = await bus.streams.publish(to, message);
        return isTarget ? die() : answer;
      },
    },
  });

test("requests no session for an attempt whose write loses to a cancellation", async () => {
  const world = await taskWorld();
  await world.host();
  let hasRaced = false;
  await world.tasks("tasks-1", (bus) => ({
    kv: {
      async update<T>(bucket: Bucket<T>, value: T, revision: number) {
        const task = value as unknown as TaskRecord;
        if ((bucket as unknown) === tasks && task.state === "dialing" && !hasRaced) {
          hasRaced = true;
          const error = { code: "canceled" as const, message: "by the API", retryable: false };
          const canceled = {
            ...task,
            state: "canceled" as const,
            attempt: 0,
            attempts: [],
            error,
            endedAt: AT,
          };
          expect(await bus.kv.update(tasks, { ...canceled, writeId: "another" }, revision)).toBeGreaterThan(
            revision,
          );
        }
        return bus.kv.update(bucket, value, revision);
      },
    },
  }));
  await world.request("t_1");
  await world.when("t_1", ({ state }) => state === "canceled");
  await world.clock.advance(5 * MINUTE_MS);
  expect(world.server.stored(sessionEvents)).toEqual([]);
});

describe("a tasks service that crashes", () => {
  test.each([
    ["after it granted a call slot and before it published that", taskEvents, "slot_granted", "before"],
    ["after it published a granted call slot", taskEvents, "slot_granted", "after"],
    ["after it saved an attempt and before it requested the session", sessionEvents, "requested", "before"],
    ["after it requested the session and before it acked", sessionEvents, "requested", "after"],
    ["before it published that the session is ready", taskEvents, "session_ready", "before"],
    ["before it published that the session has ended", taskEvents, "session_ended", "before"],
    ["after it published an update of the call", taskEvents, "call_updated", "after"],
  ] as const)(
    "leaves the attempt to another, which makes no second session: %s",
    async (_, channel, type, when) => {
      const world = await taskWorld();
      await world.host();
      await world.tasks("doomed", dieAt(channel as never, type, when));
      await world.request("t_1");
      await world.clock.advance(MINUTE_MS);
      expect(isTaskEnd((world.task("t_1") as TaskRecord).state)).toBe(false);
      await world.tasks("heir");
      expect(await world.when("t_1", isOver)).toMatchObject({ state: "completed", attempt: 1 });
      expect(world.exchange.made).toEqual(["t_1-1"]);
      expect(world.exchange.dialed).toEqual(["t_1-1"]);
    },
  );
});

describe("the tasks service under faults", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "loses no task, gives no attempt two sessions, and calls nobody again who was reached (seed %i)",
    async (seed) => {
      const script = (event: { sessionId: string }, n: number) => {
        const kind = (Number(event.sessionId.replace(/\D/g, "")) + n + seed) % 4;
        if (kind === 0) return notReached("busy", 486);
        if (kind === 1) return [...TALK.slice(0, 6), { ends: "agent_lost" } as const];
        return TALK;
      };
      const world = await taskWorld({
        seed,
        replicas: seed % 2 === 0 ? 3 : 1,
        script,
        settings: { limits: { perTenant: 5, perProvider: () => 5, total: 50, callingHours: undefined } },
        faults: {
          hopMs: [0, 30],
          slow: 0.05,
          slowMs: 3000,
          repeat: 0.1,
          loseAck: 0.1,
          ambiguous: 0.03,
          resend: 0.03,
          refuse: 0.03,
          stale: 0.3,
          staleMs: 2000,
          skip: 0.1,
        },
      });
      await world.host();
      const ids = Array.from({ length: 25 }, (_, n) => `t_${n}`);
      let running = [await world.tasks("tasks-0"), await world.tasks("tasks-1")];
      for (const id of ids) await world.request(id);
      for (let round = 0; round < 6; round++) {
        await world.clock.advance(7000 + seed * 100);
        const [oldest, ...others] = running;
        if (round % 3 === 2) {
          oldest?.pause();
          await world.clock.advance(20_000);
          oldest?.resume();
        } else {
          oldest?.kill();
          running = [...others, await world.tasks(`tasks-${round + 2}`)];
        }
      }
      await world.clock.advance(2 * MINUTE_MS);
      world.server.calm();
      for (const id of ids) await world.when(id, isOver, 60 * MINUTE_MS);
      expect(world.mostAtOnce()).toBeLessThanOrEqual(5);
      expect(new Set(world.exchange.dialed).size, "each session dials once").toBe(
        world.exchange.dialed.length,
      );
      const made = world.server.written(sessions).filter(({ value }) => value?.state === "requested");
      expect(new Set(made.map(({ key }) => key)).size).toBe(made.length);
      for (const id of ids) {
        const task = world.task(id) as TaskRecord;
        const reached = task.attempts.findIndex(({ states }) =>
          states.some(({ state }) => state === "answered"),
        );
        if (reached >= 0) expect(reached, id).toBe(task.attempts.length - 1);
        expect(task.attempts.length, id).toBeLessThanOrEqual(3);
        const sessionsOfTask = made.filter(({ key }) => key.startsWith(`t.${id}-`));
        expect(sessionsOfTask.map(({ key }) => key).sort(), id).toEqual(
          task.attempts.map(({ sessionId }) => `t.${sessionId}`).sort(),
        );
      }
      expect(world.server.entries(callSlots)[0]?.value.slots.length).toBeLessThanOrEqual(5);
    },
    120_000,
  );
});
