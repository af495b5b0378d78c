// Derives the webhook events of a session from its record alone, so that every instance gets the same events.
import type { CallRecord } from "../../libs/contracts/calls/call.ts";
import type { HistoryEntry, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { type WebhookEvent, webhookEventId } from "../../libs/contracts/webhooks/webhook.ts";
import { readyCountOf } from "../../libs/domain/session/transitions.ts";

/**
 * All events of a session so far, in order: one for each ready agent, then the end.
 *
 * The n-th ready agent has sequence n, and the end follows the last. The record counts ready agents, since it keeps
 * only the newest lines of a long history.
 */
export function sessionEventsFor(record: SessionRecord): WebhookEvent[] {
  const lines = record.history.filter(({ state }) => state === "ready");
  const count = readyCountOf(record);
  const ready = Array.from({ length: count }, (_, index) =>
    readyEvent(record, index + 1, lines[index - (count - lines.length)]),
  );
  const end = record.history.findLast(({ state }) => state === "ended");
  return end === undefined ? ready : [...ready, endedEvent(record, count + 1, end)];
}

/** The sequence of a session's last event: its call record. */
export const callSequenceOf = (record: SessionRecord): number => readyCountOf(record) + 2;

/** The call record at the time of the event. `GET /api/calls/:sessionId` has later additions. */
export const callEvent = (call: CallRecord, sequence: number): WebhookEvent => ({
  id: webhookEventId("session", call.sessionId, sequence),
  type: "call.completed",
  sessionId: call.sessionId,
  sequence,
  timestamp: call.endedAt,
  data: JSON.parse(JSON.stringify(call)),
});

/** @param line of the history; absent when many later attempts have displaced it */
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

const ofSession = ({
  profile,
  provider,
  user,
  metadata,
  stored,
  call,
}: SessionRecord): WebhookEvent["data"] => ({
  profile,
  provider: provider ?? "pool",
  user,
  metadata: metadata as WebhookEvent["data"],
  ...(stored?.metadata === undefined ? {} : { metadataBytes: stored.metadata.bytes }),
  ...(call === undefined ? {} : { call: JSON.parse(JSON.stringify(call)) }),
});
