// Webhook events of sessions and tasks, computed from their records.
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

const eventsOf = (record: SessionRecord) =>
  sessionEventsFor(record).map(({ type, sequence }) => `${sequence} ${type}`);

const migrate = (record: SessionRecord): SessionRecord =>
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

describe("sessionEventsFor", () => {
  test("returns nothing before the session is ready, then each readiness, then the end", () => {
    const requested = aSession("s");
    expect(eventsOf(requested)).toEqual([]);
    const ready = getReady(requested);
    expect(eventsOf(ready)).toEqual(["1 session.ready"]);
    const again = getReady(migrate(ready));
    expect(eventsOf(again)).toEqual(["1 session.ready", "2 session.ready"]);
    expect(eventsOf(endByApi(again))).toEqual(["1 session.ready", "2 session.ready", "3 session.ended"]);
    expect(callSequenceOf(endByApi(again))).toBe(4);
  });

  test("has the size of large metadata instead of them", () => {
    const stored = { metadata: { bytes: 5000, hash: "abc" } };
    const [ready] = sessionEventsFor(getReady(aSession("s", { stored })));
    expect(ready?.data).toMatchObject({ metadata: {}, metadataBytes: 5000 });
    expect(sessionEventsFor(getReady(aSession("s")))[0]?.data).not.toHaveProperty("metadataBytes");
  });

  test("returns only the end of a session that was never ready", () => {
    expect(eventsOf(endByApi(aSession("s")))).toEqual(["1 session.ended"]);
    expect(callSequenceOf(endByApi(aSession("s")))).toBe(2);
  });

  test("keeps the numbers when the history has dropped its oldest entries", () => {
    let record = getReady(aSession("s"));
    const before = sessionEventsFor(record);
    for (let migrations = 0; migrations < 20; migrations++) record = getReady(migrate(record));
    expect(record.history.filter(({ state }) => state === "ready").length).toBeLessThan(21);
    const events = sessionEventsFor(endByApi(record));
    expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 22 }, (_, i) => i + 1));
    expect(events.map(({ id }) => id)).toEqual(
      events.map(({ sequence }) => webhookEventId("session", "s", sequence)),
    );
    expect(events.at(-1)?.type).toBe("session.ended");
    expect(before[0]?.id).toBe(events[0]?.id);
    // The newest events have their attempts, which the history still has.
    expect(events.at(-2)?.data).toMatchObject({ attempt: 21, host: "h" });
  });

  test("uses the history to number the events of an older record", () => {
    const { readyCount: _, ...older } = endByApi(getReady(aSession("s")));
    expect(eventsOf(older)).toEqual(["1 session.ready", "2 session.ended"]);
  });

  test("includes the user, the reason and the fault", () => {
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

describe("taskEventsFor", () => {
  test("returns each state of the task, numbered in order", () => {
    const queued = aTask("t_1");
    const dialing = stepTask(queued, slotGranted(queued));
    const ringing = stepTask(dialing, callUpdated(dialing, "ringing"));
    const events = taskEventsFor(ringing).events.map(({ type, sequence }) => `${sequence} ${type}`);
    expect(events).toEqual(["1 task.queued", "2 task.dialing", "3 task.ringing"]);
  });

  test("returns another task.queued for a retried attempt", () => {
    const queued = aTask("t_1");
    const dialing = stepTask(queued, slotGranted(queued));
    const busy = stepTask(dialing, callUpdated(dialing, "busy"));
    const { events } = taskEventsFor(busy);
    expect(events.map(({ type }) => type)).toEqual(["task.queued", "task.dialing", "task.queued"]);
    expect(events.at(-1)?.data).toMatchObject({ attempt: 1, attemptError: "busy" });
  });
});

describe("isWanted", () => {
  test("matches all events, all of one kind, or single events", () => {
    expect(isWanted(["*"], "task.busy")).toBe(true);
    expect(isWanted(["session.*"], "session.ready")).toBe(true);
    expect(isWanted(["session.*"], "call.completed")).toBe(false);
    expect(isWanted(["session.ended"], "session.ready")).toBe(false);
    expect(isWanted(["session.ended", "call.completed"], "call.completed")).toBe(true);
  });
});

test("parses ids of events, even if the session's id has underscores", () => {
  expect(readWebhookEventId(webhookEventId("session", "s_a_1", 12))).toEqual({
    about: "session",
    of: "s_a_1",
    sequence: 12,
  });
  expect(readWebhookEventId("evt_host_x_1")).toBeUndefined();
  expect(readWebhookEventId("evt_session_a.b_1")).toBeUndefined();
});
