// Webhooks about tasks: each state is delivered in order, once, and signed.
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { type TaskEvent, type TaskRecord, TaskState } from "../../../../libs/contracts/tasks/task.ts";
import { reduceTask } from "../../../../libs/domain/task/reduce.ts";
import { getReady } from "../../../kit/fixtures/session-steps.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
import {
  aTask,
  become,
  callUpdated,
  cancelRequested,
  retryRequested,
  sessionEnded,
  sessionReady,
  slotGranted,
} from "../../../kit/fixtures/tasks.ts";
import { MINUTE_MS, world } from "../../../kit/worlds/memory-world.ts";
import {
  anEndpoint,
  type Received,
  SECRET,
  type World,
  webhookWorld,
} from "../../../kit/worlds/webhook-world.ts";

type Scene = Awaited<ReturnType<typeof webhookWorld>>;
type EventOf = (task: TaskRecord) => TaskEvent;

const ringing: EventOf = (task) => callUpdated(task, "ringing");
const answered: EventOf = (task) => callUpdated(task, "answered");
const once = { retry: { maxAttempts: 1, initialMs: 0, maxMs: 0 } };

/** Saves a task after each of these events, like the tasks service. */
async function live(w: World, s: Scene, task: TaskRecord, ...events: EventOf[]): Promise<TaskRecord> {
  let record = task;
  await s.saveTask(record);
  for (const eventOf of events) {
    await w.clock.advance(100);
    record = reduceTask(record, eventOf(record));
    await s.saveTask(record);
  }
  await w.clock.advance(100);
  return record;
}

const of = (s: Scene, id: string): readonly Received[] =>
  s.received.filter(({ event }) => event.taskId === id);
const statesOf = (s: Scene, id: string) => of(s, id).map(({ event }) => `${event.sequence} ${event.type}`);

/** Whether a delivery is signed with the endpoint's secret over the received bytes (Standard Webhooks). */
function isSigned({ body, event, headers }: Received): boolean {
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  const isSame = headers["webhook-id"] === event.id;
  return isSame && headers["webhook-signature"] === new Webhook(SECRET).sign(event.id, at, body);
}

describe("webhooks service", () => {
  test("delivers each state of a task in order, once and signed", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.webhooks("two");
    await s.register(anEndpoint("a", { events: ["task.*"] }));
    await live(w, s, aTask("done"), slotGranted, ringing, answered, sessionReady, sessionEnded);
    await live(w, s, aTask("busy", once), slotGranted, ringing, (task) =>
      callUpdated(task, "busy", { sipCode: 486 }),
    );
    await live(w, s, aTask("unheard", once), slotGranted, ringing, (task) => callUpdated(task, "noAnswer"));
    await live(w, s, aTask("box"), slotGranted, (task) =>
      callUpdated(task, "voicemail", { answeredBy: "machine" }),
    );
    await live(w, s, aTask("wrong"), slotGranted, (task) =>
      callUpdated(task, "failed", { sipCode: 404, permanent: true }),
    );
    await live(w, s, aTask("canceled"), cancelRequested);
    await live(w, s, aTask("lost"), slotGranted, (task) => callUpdated(task, "unknown"));
    await w.clock.advance(MINUTE_MS);
    const story = [...["queued", "dialing", "ringing", "answered", "inProgress", "completed"].entries()];
    expect(statesOf(s, "done")).toEqual(story.map(([index, state]) => `${index + 1} task.${state}`));
    expect(statesOf(s, "busy")).toEqual(["1 task.queued", "2 task.dialing", "3 task.ringing", "4 task.busy"]);
    expect(statesOf(s, "unheard").at(-1)).toBe("4 task.noAnswer");
    expect(statesOf(s, "box")).toEqual(["1 task.queued", "2 task.dialing", "3 task.voicemail"]);
    expect(statesOf(s, "wrong")).toEqual(["1 task.queued", "2 task.dialing", "3 task.failed"]);
    expect(statesOf(s, "canceled")).toEqual(["1 task.queued", "2 task.canceled"]);
    expect(statesOf(s, "lost")).toEqual(["1 task.queued", "2 task.dialing", "3 task.unknown"]);
    expect(new Set(s.received.map(({ event }) => event.type)).size).toBe(TaskState.options.length);
    expect(new Set(s.received.map(({ event }) => event.id)).size).toBe(s.received.length);
    expect(s.received.filter((one) => !isSigned(one))).toEqual([]);
  });

  test("includes the called number, the session and the error in each event", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    const requested = aTask("t1", { ...once, to: "+15550123", metadata: { order: 42 } });
    await live(w, s, requested, slotGranted, (task) => callUpdated(task, "busy", { sipCode: 486 }));
    await w.clock.advance(MINUTE_MS);
    const [queued, dialing, busy] = of(s, "t1").map(({ event }) => event.data);
    const call = { to: "+15550123", profile: "echo", provider: "sip", metadata: { order: 42 } };
    expect(queued).toEqual({ ...call, state: "queued", attempt: 0 });
    expect(dialing).toMatchObject({ ...call, state: "dialing", attempt: 1, sessionId: "t1-1" });
    expect(busy).toEqual({
      ...{ ...call, state: "busy", attempt: 1, sessionId: "t1-1", sipCode: 486, attemptError: "busy" },
      error: { code: "busy", message: "the call ended as busy (SIP 486)" },
    });
  });

  test("delivers the states of retried attempts, and of a task that a person retried", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.register(anEndpoint("a", { events: ["task.queued", "task.busy", "task.completed"] }));
    const busy: EventOf = (task) => callUpdated(task, "busy");
    const twice = { retry: { maxAttempts: 2, initialMs: 0, maxMs: 0 } };
    const ended = await live(w, s, aTask("t1", twice), slotGranted, busy, slotGranted, busy);
    await live(w, s, ended, retryRequested, slotGranted, answered, sessionReady, sessionEnded);
    await w.clock.advance(MINUTE_MS);
    const expected = ["1 task.queued", "3 task.queued", "5 task.busy", "6 task.queued", "10 task.completed"];
    expect(statesOf(s, "t1")).toEqual(expected);
  });

  test("delivers a whole task in order after no instance ran and the endpoint was down", async () => {
    const w = world();
    let isDown = true;
    const s = await webhookWorld(w, () => ({ status: isDown ? 503 : 200 }));
    await s.register(anEndpoint("a", { events: ["task.*"] }));
    await s.register(anEndpoint("b", { events: ["session.*"] }));
    await live(w, s, aTask("t1"), slotGranted, answered, sessionReady, sessionEnded);
    // The case where the store has only a task's present state.
    await s.saveTask(become(aTask("t2", once), slotGranted, (task) => callUpdated(task, "busy")));
    await s.webhooks("one");
    await s.save(getReady(aSession("s1")));
    await w.clock.advance(MINUTE_MS);
    expect(new Set(statesOf(s, "t1"))).toEqual(new Set(["1 task.queued"]));
    isDown = false;
    const from = s.received.length;
    await w.clock.advance(10 * MINUTE_MS);
    const story = ["queued", "dialing", "answered", "inProgress", "completed"];
    const late = s.received.slice(from).filter(({ to }) => to === "a");
    const lateOf = (id: string) => late.filter(({ event }) => event.taskId === id).map(({ event }) => event);
    expect(lateOf("t1").map(({ type }) => type)).toEqual(story.map((state) => `task.${state}`));
    expect(late.filter((one) => !isSigned(one))).toEqual([]);
    // Earlier events lack the error, although it is known by now.
    expect(lateOf("t2").map(({ type, data }) => `${type} ${"error" in data}`)).toEqual([
      "task.queued false",
      "task.dialing false",
      "task.busy true",
    ]);
    expect(new Set(s.receivedBy("b"))).toEqual(new Set(["1 session.ready"]));
  });
});
