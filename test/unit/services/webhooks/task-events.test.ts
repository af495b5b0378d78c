// Webhooks about outbound tasks: each state that a task comes to is delivered, in order, once, and signed.
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
import { anEndpoint, type Got, SECRET, type World, webhookWorld } from "../../../kit/worlds/webhook-world.ts";

type Scene = Awaited<ReturnType<typeof webhookWorld>>;
type Say = (task: TaskRecord) => TaskEvent;

const ringing: Say = (task) => callUpdated(task, "ringing");
const answered: Say = (task) => callUpdated(task, "answered");
const once = { retry: { maxAttempts: 1, initialMs: 0, maxMs: 0 } };

/** Saves a task as it stands after each of these, as the tasks service does. */
async function live(w: World, s: Scene, task: TaskRecord, ...said: Say[]): Promise<TaskRecord> {
  let record = task;
  await s.saveTask(record);
  for (const say of said) {
    await w.clock.advance(100);
    record = reduceTask(record, say(record));
    await s.saveTask(record);
  }
  await w.clock.advance(100);
  return record;
}

const of = (s: Scene, id: string): readonly Got[] => s.got.filter(({ event }) => event.taskId === id);
const toldOf = (s: Scene, id: string) => of(s, id).map(({ event }) => `${event.sequence} ${event.type}`);

/** Signed with the endpoint's secret over the very bytes that came, as Standard Webhooks has it. */
function isSigned({ body, event, headers }: Got): boolean {
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  const isSame = headers["webhook-id"] === event.id;
  return isSame && headers["webhook-signature"] === new Webhook(SECRET).sign(event.id, at, body);
}

describe("an endpoint", () => {
  test("is told each state that a task comes to, in order, once and signed", async () => {
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
    expect(toldOf(s, "done")).toEqual(story.map(([index, state]) => `${index + 1} task.${state}`));
    expect(toldOf(s, "busy")).toEqual(["1 task.queued", "2 task.dialing", "3 task.ringing", "4 task.busy"]);
    expect(toldOf(s, "unheard").at(-1)).toBe("4 task.noAnswer");
    expect(toldOf(s, "box")).toEqual(["1 task.queued", "2 task.dialing", "3 task.voicemail"]);
    expect(toldOf(s, "wrong")).toEqual(["1 task.queued", "2 task.dialing", "3 task.failed"]);
    expect(toldOf(s, "canceled")).toEqual(["1 task.queued", "2 task.canceled"]);
    expect(toldOf(s, "lost")).toEqual(["1 task.queued", "2 task.dialing", "3 task.unknown"]);
    expect(new Set(s.got.map(({ event }) => event.type)).size).toBe(TaskState.options.length);
    expect(new Set(s.got.map(({ event }) => event.id)).size).toBe(s.got.length);
    expect(s.got.filter((one) => !isSigned(one))).toEqual([]);
  });

  test("is told with each event whom was called, by which session, and why it came to nothing", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.register(anEndpoint("a"));
    const asked = aTask("t1", { ...once, to: "+15550123", metadata: { order: 42 } });
    await live(w, s, asked, slotGranted, (task) => callUpdated(task, "busy", { sipCode: 486 }));
    await w.clock.advance(MINUTE_MS);
    const [queued, dialing, busy] = of(s, "t1").map(({ event }) => event.data);
    const whom = { to: "+15550123", profile: "echo", provider: "sip", metadata: { order: 42 } };
    expect(queued).toEqual({ ...whom, state: "queued", attempt: 0 });
    expect(dialing).toMatchObject({ ...whom, state: "dialing", attempt: 1, sessionId: "t1-1" });
    expect(busy).toEqual({
      ...{ ...whom, state: "busy", attempt: 1, sessionId: "t1-1", sipCode: 486, attemptError: "busy" },
      error: { code: "busy", message: "the call ended as busy (SIP 486)" },
    });
  });

  test("is told of an attempt that is repeated, and of the life that a person gave a task again", async () => {
    const w = world();
    const s = await webhookWorld(w);
    await s.webhooks("one");
    await s.register(anEndpoint("a", { events: ["task.queued", "task.busy", "task.completed"] }));
    const busy: Say = (task) => callUpdated(task, "busy");
    const twice = { retry: { maxAttempts: 2, initialMs: 0, maxMs: 0 } };
    const ended = await live(w, s, aTask("t1", twice), slotGranted, busy, slotGranted, busy);
    await live(w, s, ended, retryRequested, slotGranted, answered, sessionReady, sessionEnded);
    await w.clock.advance(MINUTE_MS);
    const wanted = ["1 task.queued", "3 task.queued", "5 task.busy", "6 task.queued", "10 task.completed"];
    expect(toldOf(s, "t1")).toEqual(wanted);
  });

  test("is told all of a task in order that went on while no instance ran, and after it was down", async () => {
    const w = world();
    let isDown = true;
    const s = await webhookWorld(w, () => ({ status: isDown ? 503 : 200 }));
    await s.register(anEndpoint("a", { events: ["task.*"] }));
    await s.register(anEndpoint("b", { events: ["session.*"] }));
    await live(w, s, aTask("t1"), slotGranted, answered, sessionReady, sessionEnded);
    // As it is when the store keeps no more of a task than how it stands now.
    await s.saveTask(become(aTask("t2", once), slotGranted, (task) => callUpdated(task, "busy")));
    await s.webhooks("one");
    await s.save(getReady(aSession("s1")));
    await w.clock.advance(MINUTE_MS);
    expect(new Set(toldOf(s, "t1"))).toEqual(new Set(["1 task.queued"]));
    isDown = false;
    const from = s.got.length;
    await w.clock.advance(10 * MINUTE_MS);
    const story = ["queued", "dialing", "answered", "inProgress", "completed"];
    const late = s.got.slice(from).filter(({ to }) => to === "a");
    const lateOf = (id: string) => late.filter(({ event }) => event.taskId === id).map(({ event }) => event);
    expect(lateOf("t1").map(({ type }) => type)).toEqual(story.map((state) => `task.${state}`));
    expect(late.filter((one) => !isSigned(one))).toEqual([]);
    // Why it ended is no part of what came before, though it is known by now.
    expect(lateOf("t2").map(({ type, data }) => `${type} ${"error" in data}`)).toEqual([
      "task.queued false",
      "task.dialing false",
      "task.busy true",
    ]);
    expect(new Set(s.told("b"))).toEqual(new Set(["1 session.ready"]));
  });
});
