// Reads all that is stored about one session or task.
import type { NatsInspector, RawStored } from "../../libs/bus/nats/inspect.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { claimIdOf, claimKey, HANDOFF_PREFIX } from "../../libs/contracts/claims/claim.ts";
import type { SessionRef } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { type Step, tellRecord } from "./describe-record.ts";
import { type TellOptions, tellStored } from "./describe-stored.ts";
import type { Subject } from "./find-subject.ts";
import { type Happening, inOrder, parsed } from "./timeline.ts";

export interface SessionStory {
  readonly subject: Subject;
  readonly happenings: readonly Happening[];
  readonly record: SessionRecord | undefined;
  readonly steps: readonly Step[];
  /** What isn't there any more, or never was, and why. */
  readonly gone: readonly string[];
}

export interface TaskStory {
  readonly subject: Subject;
  readonly happenings: readonly Happening[];
  readonly record: TaskRecord | undefined;
  readonly gone: readonly string[];
  /** Those of its attempts, oldest first. */
  readonly sessions: readonly SessionStory[];
}

type Look = Pick<NatsInspector, "stored">;

/** More than any session has; a stream that has more is shown in part. */
const AT_MOST = 5000;

export async function sessionStory(
  look: Look,
  subject: Subject,
  options: TellOptions,
): Promise<SessionStory> {
  const { tenant, id: sessionId } = subject;
  const read = (stream: string, filter: string) => look.stored(stream, filter, AT_MOST);
  const told = tellRecord(await read("KV_sessions", `$KV.sessions.${tenant}.${sessionId}`), options.metadata);
  const attempts = Array.from({ length: told.record?.attempt ?? 1 }, (_, index) => index + 1);
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
    runtimeOf(look, subject, told.record),
    ...deadSubjects({ tenant, sessionId }).map((filter) => read("DEAD_LETTERS", filter)),
  ]);
  const others = lists.flat();
  return {
    subject,
    happenings: inOrder([...told.happenings, ...others.flatMap((stored) => tellStored(stored, options))]),
    record: told.record,
    steps: told.steps,
    gone: [...told.gone, ...goneOf(others, told.record)],
  };
}

/** The letters about a session, whichever stream they came from. */
const deadSubjects = ({ tenant, sessionId }: SessionRef): string[] => [
  `dead.session.${tenant}.${sessionId}.*`,
  `dead.overflow.session.${tenant}.${sessionId}.*`,
  `dead.log.${tenant}.${sessionId}`,
  `dead.$KV.sessions.${tenant}.${sessionId}`,
  `dead.$KV.launches.${tenant}.${sessionId}.*`,
];

/** What other systems were told, which says its session inside: looked through only where there may be any. */
async function runtimeOf(
  look: Look,
  { tenant, id }: Subject,
  record: SessionRecord | undefined,
): Promise<RawStored[]> {
  if (!id.startsWith(HANDOFF_PREFIX) && record?.provider !== "webhook") return [];
  const all = await look.stored("HANDOFFS", "runtime.>", AT_MOST);
  return all.filter(({ text }) => {
    const value = parsed(text);
    return value?.session_id === id && value.tenant_id === tenant;
  });
}

function goneOf(stored: readonly RawStored[], record: SessionRecord | undefined): string[] {
  const has = (stream: string) => stored.some((one) => one.stream === stream);
  const isOver = record === undefined || record.state === "ended";
  const wasServed = record?.history.some(({ state }) => state === "joined" || state === "ready") === true;
  return [
    ...(has("SESSIONS") || has("SESSIONS_OVERFLOW")
      ? []
      : ["Its messages are gone: the stream SESSIONS keeps them for 7 days."]),
    ...(has("SESSION_LOGS")
      ? []
      : ["There are no log lines: they are kept for a day, the newest 200 batches."]),
    ...(has("KV_conversations") || !wasServed
      ? []
      : isOver
        ? ["Its conversation is gone: it is removed when the session ends."]
        : ["There is no checkpoint of its conversation: nothing was said yet, or none is kept."]),
    ...(isOver && !has("CALLS")
      ? ["There is no call record: no calls service runs, or it has not got to it yet."]
      : []),
  ];
}

export async function taskStory(look: Look, subject: Subject, options: TellOptions): Promise<TaskStory> {
  const { tenant, id } = subject;
  const lists = await Promise.all([
    look.stored("KV_tasks", `$KV.tasks.${tenant}.${id}`, AT_MOST),
    look.stored("TASKS", `task.${tenant}.${id}.*`, AT_MOST),
    look.stored("DEAD_LETTERS", `dead.task.${tenant}.${id}.*`, AT_MOST),
    look.stored("DEAD_LETTERS", `dead.$KV.tasks.${tenant}.${id}`, AT_MOST),
  ]);
  const revisions = lists[0] ?? [];
  const newest = tasks.schema.safeParse(parsed(revisions.at(-1)?.text));
  const record = newest.success ? newest.data : undefined;
  const sessions: SessionStory[] = [];
  for (const { sessionId } of record?.attempts ?? []) {
    sessions.push(await sessionStory(look, { kind: "session", tenant, id: sessionId }, options));
  }
  const older = (record?.attempt ?? 0) - sessions.length;
  return {
    subject,
    happenings: inOrder(lists.flat().flatMap((stored) => tellStored(stored, options))),
    record,
    gone: [
      ...(revisions.length === 0
        ? ["Its record is gone: tasks are kept for 90 days after their last change."]
        : []),
      ...((lists[1] ?? []).length === 0
        ? ["Its messages are gone: the stream TASKS keeps them for 7 days."]
        : []),
      ...(older > 0 ? [`${older} of its attempts are not in its record any more.`] : []),
    ],
    sessions,
  };
}
