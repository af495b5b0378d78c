// Reads everything that is stored about a session or task.
import type { NatsInspector, RawStored } from "../../libs/bus/nats/inspect.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { claimIdOf, claimKey, HANDOFF_PREFIX } from "../../libs/contracts/claims/claim.ts";
import type { SessionRef } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { describeRecord, type StateDuration } from "./describe-record.ts";
import { type DescribeOptions, describeStored } from "./describe-stored.ts";
import type { Subject } from "./find-subject.ts";
import { parsed, sortTimeline, type TimelineEntry } from "./timeline.ts";
import { verdictOf } from "./verdict.ts";

export interface SessionOverview {
  readonly subject: Subject;
  /** The session's end or state, and its mishaps, in one line. */
  readonly verdict: string;
  readonly timeline: readonly TimelineEntry[];
  readonly record: SessionRecord | undefined;
  readonly steps: readonly StateDuration[];
  /** Deleted and missing data, with the reasons. */
  readonly gone: readonly string[];
}

export interface TaskOverview {
  readonly subject: Subject;
  readonly timeline: readonly TimelineEntry[];
  readonly record: TaskRecord | undefined;
  readonly gone: readonly string[];
  /** The sessions of its attempts, oldest first. */
  readonly sessions: readonly SessionOverview[];
}

type StoredMessages = Pick<NatsInspector, "stored">;

/** Exceeds the messages of any session. Longer streams are shown in part. */
const AT_MOST = 5000;

export async function sessionOverview(
  nats: StoredMessages,
  subject: Subject,
  options: DescribeOptions,
): Promise<SessionOverview> {
  const { tenant, id: sessionId } = subject;
  const read = (stream: string, filter: string) => nats.stored(stream, filter, AT_MOST);
  const described = describeRecord(
    await read("KV_sessions", `$KV.sessions.${tenant}.${sessionId}`),
    options.metadata,
  );
  const attempts = Array.from({ length: described.record?.attempt ?? 1 }, (_, index) => index + 1);
  const lists = await Promise.all([
    read("SESSIONS", `session.${tenant}.${sessionId}.*`),
    read("SESSIONS_OVERFLOW", `overflow.session.${tenant}.${sessionId}.*`),
    read("KV_launches", `$KV.launches.${tenant}.${sessionId}.*`),
    ...attempts.map((n) =>
      read("KV_claims", `$KV.claims.${claimKey(tenant, claimIdOf({ sessionId, attempt: n }))}`),
    ),
    read("KV_conversations", `$KV.conversations.${tenant}.${sessionId}`),
    read("KV_usage_reports", `$KV.usage_reports.${tenant}.${sessionId}.*`),
    read("SESSION_LOGS", `log.${tenant}.${sessionId}`),
    read("CALLS", `call.${tenant}.*.${sessionId}`),
    read("WEBHOOKS", `webhook.${tenant}.*.${sessionId}.*`),
    read("WEBHOOK_DELIVERIES", `delivery.${tenant}.*.${sessionId}`),
    options.metadata ? read("KV_session_metadata", `$KV.session_metadata.${tenant}.${sessionId}.*`) : [],
    handoffEventsOf(nats, subject, described.record),
    ...deadSubjects({ tenant, sessionId }).map((filter) => read("DEAD_LETTERS", filter)),
  ]);
  const others = lists.flat();
  const timeline = sortTimeline([
    ...described.timeline,
    ...others.flatMap((stored) => describeStored(stored, options)),
  ]);
  return {
    subject,
    verdict: verdictOf(described.record, described.steps, timeline),
    timeline,
    record: described.record,
    steps: described.steps,
    gone: [...described.gone, ...goneOf(others, described.record)],
  };
}

/** Dead letters about a session, whatever stream they are from. */
const deadSubjects = ({ tenant, sessionId }: SessionRef): string[] => [
  `dead.session.${tenant}.${sessionId}.*`,
  `dead.overflow.session.${tenant}.${sessionId}.*`,
  `dead.log.${tenant}.${sessionId}`,
  `dead.$KV.sessions.${tenant}.${sessionId}`,
  `dead.$KV.launches.${tenant}.${sessionId}.*`,
];

/** Handoff events, read only for sessions that may have some, because their subjects contain no session id. */
async function handoffEventsOf(
  nats: StoredMessages,
  { tenant, id }: Subject,
  record: SessionRecord | undefined,
): Promise<RawStored[]> {
  if (!id.startsWith(HANDOFF_PREFIX) && record?.provider !== "webhook") return [];
  const all = await nats.stored("HANDOFFS", "runtime.>", AT_MOST);
  return all.filter(({ text }) => {
    const value = parsed(text);
    return value?.session_id === id && value.tenant_id === tenant;
  });
}

function goneOf(stored: readonly RawStored[], record: SessionRecord | undefined): string[] {
  const has = (stream: string) => stored.some((message) => message.stream === stream);
  const isOver = record === undefined || record.state === "ended";
  const wasServed = record?.history.some(({ state }) => state === "joined" || state === "ready") === true;
  return [
    ...(has("SESSIONS") || has("SESSIONS_OVERFLOW")
      ? []
      : ["The events are deleted. The stream SESSIONS keeps them for 7 days."]),
    ...(has("SESSION_LOGS")
      ? []
      : ["No log lines. They are kept for a day, at most the newest 200 batches."]),
    ...(has("KV_conversations") || !wasServed
      ? []
      : isOver
        ? ["The conversation is deleted, because the session has ended."]
        : ["No conversation checkpoint: nobody has spoken yet, or the profile stores none."]),
    ...(isOver && !has("CALLS")
      ? ["No call record: no calls service is running, or it has not created the record yet."]
      : []),
  ];
}

export async function taskOverview(
  nats: StoredMessages,
  subject: Subject,
  options: DescribeOptions,
): Promise<TaskOverview> {
  const { tenant, id } = subject;
  const lists = await Promise.all([
    nats.stored("KV_tasks", `$KV.tasks.${tenant}.${id}`, AT_MOST),
    nats.stored("TASKS", `task.${tenant}.${id}.*`, AT_MOST),
    nats.stored("DEAD_LETTERS", `dead.task.${tenant}.${id}.*`, AT_MOST),
    nats.stored("DEAD_LETTERS", `dead.$KV.tasks.${tenant}.${id}`, AT_MOST),
  ]);
  const revisions = lists[0] ?? [];
  const newest = tasks.schema.safeParse(parsed(revisions.at(-1)?.text));
  const record = newest.success ? newest.data : undefined;
  const sessions: SessionOverview[] = [];
  for (const { sessionId } of record?.attempts ?? []) {
    sessions.push(await sessionOverview(nats, { kind: "session", tenant, id: sessionId }, options));
  }
  const older = (record?.attempt ?? 0) - sessions.length;
  return {
    subject,
    timeline: sortTimeline(lists.flat().flatMap((stored) => describeStored(stored, options))),
    record,
    gone: [
      ...(revisions.length === 0
        ? ["The record is deleted. Tasks are kept for 90 days after their last change."]
        : []),
      ...((lists[1] ?? []).length === 0
        ? ["The events are deleted. The stream TASKS keeps them for 7 days."]
        : []),
      ...(older > 0 ? [`${older} of its attempts are not in its record any more.`] : []),
    ],
    sessions,
  };
}
