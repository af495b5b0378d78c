// What is told of a session, read off its record alone: whoever reads it, and however often, tells the same.
import type { CallRecord } from "../../libs/contracts/calls/call.ts";
import type { HistoryEntry, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { type WebhookEvent, webhookEventId } from "../../libs/contracts/webhooks/webhook.ts";
import { readyCountOf } from "../../libs/domain/session/transitions.ts";

/**
 * All that is to be told of a session as it stands, in order: each time that an agent became ready, then the end.
 *
 * The numbers come from the record: the n-th readiness has the number n, and the end the one after the last. A record
 * counts its readinesses, since of a long history it keeps only the newest lines.
 */
export function sessionEventsFor(record: SessionRecord): WebhookEvent[] {
  const lines = record.history.filter(({ state }) => state === "ready");
  const count = readyCountOf(record);
  const news = Array.from({ length: count }, (_, index) =>
    readyEvent(record, index + 1, lines[index - (count - lines.length)]),
  );
  const end = record.history.findLast(({ state }) => state === "ended");
  return end === undefined ? news : [...news, endedEvent(record, count + 1, end)];
}

/** The number of what is told last of a session: its call, once it is recorded. */
export const callSequenceOf = (record: SessionRecord): number => readyCountOf(record) + 2;

/** A call as it was recorded when it was told; what is found out later is in `GET /api/calls/:sessionId`. */
export const callEvent = (call: CallRecord, sequence: number): WebhookEvent => ({
  id: webhookEventId("session", call.sessionId, sequence),
  type: "call.completed",
  sessionId: call.sessionId,
  sequence,
  timestamp: call.endedAt,
  data: JSON.parse(JSON.stringify(call)),
});

/** @param line of the history; it is gone when the session had dozens of attempts since, and nobody heard of them */
function readyEvent(record: SessionRecord, sequence: number, line: HistoryEntry | undefined): WebhookEvent {
  return eventOf(record, "session.ready", sequence, line?.at ?? record.history[0]?.at ?? "", {
    ...ofSession(record),
    room: record.room,
    attempt: line?.attempt ?? null,
    host: line?.host ?? null,
    first: sequence === 1,
  });
}

function endedEvent(record: SessionRecord, sequence: number, line: HistoryEntry): WebhookEvent {
  return eventOf(record, "session.ended", sequence, line.at, {
    ...ofSession(record),
    room: record.room,
    endedReason: record.endedReason ?? null,
    fault: record.fault ?? null,
    reason: line.reason ?? null,
    attempt: record.attempt,
    failures: record.failures,
    requestedAt: record.history[0]?.at ?? null,
    wasReady: readyCountOf(record) > 0,
  });
}

const eventOf = (
  { sessionId }: SessionRecord,
  type: "session.ready" | "session.ended",
  sequence: number,
  timestamp: string,
  data: WebhookEvent["data"],
): WebhookEvent => ({
  id: webhookEventId("session", sessionId, sequence),
  type,
  sessionId,
  sequence,
  timestamp,
  data,
});

const ofSession = ({ profile, provider, user, metadata, call }: SessionRecord): WebhookEvent["data"] => ({
  profile,
  provider: provider ?? "pool",
  user,
  metadata: metadata as WebhookEvent["data"],
  ...(call === undefined ? {} : { call: JSON.parse(JSON.stringify(call)) }),
});
