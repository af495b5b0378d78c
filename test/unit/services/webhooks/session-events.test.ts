// What webhooks are told of sessions and tasks, read off their records.
import { describe, expect, test } from "vitest";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { isWanted, readWebhookEventId, webhookEventId } from "../../../../libs/contracts/webhooks/webhook.ts";
import { reduceSession } from "../../../../libs/domain/session/reduce.ts";
import { reduceTask as stepTask } from "../../../../libs/domain/task/reduce.ts";
import { callSequenceOf, sessionEventsFor } from "../../../../services/webhooks/session-events.ts";
import { taskEventsFor } from "../../../../services/webhooks/task-events.ts";
import { endByApi, getReady } from "../../../kit/fixtures/session-steps.ts";
import { AT, aSession } from "../../../kit/fixtures/sessions.ts";
import { aTask, callUpdated, slotGranted } from "../../../kit/fixtures/tasks.ts";

const told = (record: SessionRecord) =>
  sessionEventsFor(record).map(({ type, sequence }) => `${sequence} ${type}`);

const handOver = (record: SessionRecord): SessionRecord =>
  reduceSession(record, {
    type: "migrated",
    tenant: record.tenant,
    sessionId: record.sessionId,
    attempt: record.attempt,
    host: "h",
    epoch: 1,
    at: AT,
    reason: "the host drains",
  });

describe("a session's news", () => {
  test("are nothing before it is ready, then each readiness, then the end", () => {
    const asked = aSession("s");
    expect(told(asked)).toEqual([]);
    const ready = getReady(asked);
    expect(told(ready)).toEqual(["1 session.ready"]);
    const again = getReady(handOver(ready));
    expect(told(again)).toEqual(["1 session.ready", "2 session.ready"]);
    expect(told(endByApi(again))).toEqual(["1 session.ready", "2 session.ready", "3 session.ended"]);
    expect(callSequenceOf(endByApi(again))).toBe(4);
  });

  test("of one that never got ready are its end alone", () => {
    expect(told(endByApi(aSession("s")))).toEqual(["1 session.ended"]);
    expect(callSequenceOf(endByApi(aSession("s")))).toBe(2);
  });

  test("keep their numbers when the history has forgotten the older lines", () => {
    let record = getReady(aSession("s"));
    const before = sessionEventsFor(record);
    for (let handovers = 0; handovers < 20; handovers++) record = getReady(handOver(record));
    expect(record.history.filter(({ state }) => state === "ready").length).toBeLessThan(21);
    const news = sessionEventsFor(endByApi(record));
    expect(news.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 22 }, (_, i) => i + 1));
    expect(news.map(({ id }) => id)).toEqual(
      news.map(({ sequence }) => webhookEventId("session", "s", sequence)),
    );
    expect(news.at(-1)?.type).toBe("session.ended");
    expect(before[0]?.id).toBe(news[0]?.id);
    // The newest are told with their attempts, which the history still has.
    expect(news.at(-2)?.data).toMatchObject({ attempt: 21, host: "h" });
  });

  test("of a record of an earlier version are numbered by its history", () => {
    const { readyCount: _, ...older } = endByApi(getReady(aSession("s")));
    expect(told(older)).toEqual(["1 session.ready", "2 session.ended"]);
  });

  test("say who, why and whose fault it was", () => {
    const record = endByApi(getReady(aSession("s", { metadata: { order: 7 } })));
    expect(sessionEventsFor(record).at(-1)).toMatchObject({
      id: "evt_session_s_2",
      sessionId: "s",
      timestamp: AT,
      data: {
        profile: "echo",
        user: { id: "u" },
        metadata: { order: 7 },
        endedReason: "completed",
        fault: "none",
        reason: "ended by the API",
        wasReady: true,
      },
    });
  });
});

describe("a task's news", () => {
  test("are each state that it came to, numbered through", () => {
    const queued = aTask("t_1");
    const dialing = stepTask(queued, slotGranted(queued));
    const ringing = stepTask(dialing, callUpdated(dialing, "ringing"));
    const news = taskEventsFor(ringing).events.map(({ type, sequence }) => `${sequence} ${type}`);
    expect(news).toEqual(["1 task.queued", "2 task.dialing", "3 task.ringing"]);
  });

  test("of an attempt that is repeated are that it is queued again", () => {
    const queued = aTask("t_1");
    const dialing = stepTask(queued, slotGranted(queued));
    const busy = stepTask(dialing, callUpdated(dialing, "busy"));
    const { events } = taskEventsFor(busy);
    expect(events.map(({ type }) => type)).toEqual(["task.queued", "task.dialing", "task.queued"]);
    expect(events.at(-1)?.data).toMatchObject({ attempt: 1, attemptError: "busy" });
  });
});

describe("what an endpoint wants", () => {
  test("is all, all of a kind, or what it names", () => {
    expect(isWanted(["*"], "task.busy")).toBe(true);
    expect(isWanted(["session.*"], "session.ready")).toBe(true);
    expect(isWanted(["session.*"], "call.completed")).toBe(false);
    expect(isWanted(["session.ended"], "session.ready")).toBe(false);
    expect(isWanted(["session.ended", "call.completed"], "call.completed")).toBe(true);
  });
});

test("an event's id tells what it is about, also when the session's own id has underscores", () => {
  expect(readWebhookEventId(webhookEventId("session", "s_a_1", 12))).toEqual({
    about: "session",
    of: "s_a_1",
    sequence: 12,
  });
  expect(readWebhookEventId("evt_host_x_1")).toBeUndefined();
  expect(readWebhookEventId("evt_session_a.b_1")).toBeUndefined();
});
