// Finds the sessions and tasks of a deletion: those of a person, or those that are too old.
import type { Bus } from "../../libs/bus/bus.ts";
import { sessions, tasks } from "../../libs/contracts/buckets.ts";
import type { CallRecord } from "../../libs/contracts/calls/call.ts";
import type { DeletionJob } from "../../libs/contracts/privacy/deletion.ts";
import type { ConnectedCall } from "../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { type Channel, calls, sessionEvents, sessionOverflow } from "../../libs/contracts/streams.ts";
import { isTaskEnd, type TaskRecord } from "../../libs/contracts/tasks/task.ts";

export interface Found {
  readonly sessions: Set<string>;
  readonly tasks: Set<string>;
}

const PAGE = 500;

/**
 * Finds what exists by now. A person is the user of a session, or the owner of a called number.
 * @param found receives the results; earlier results stay, since their source may be deleted by now
 */
export async function findParts(bus: Bus, job: DeletionJob, found: Found): Promise<void> {
  if (job.kind === "user") await findPerson(bus, job.tenant, job.user ?? "", found);
  if (job.kind === "retention") await findOld(bus, job.tenant, Date.parse(job.before ?? ""), found);
}

async function findPerson(bus: Bus, tenant: string, user: string, found: Found): Promise<void> {
  const isTheirs = (who: {
    readonly user?: { readonly id: string };
    readonly call?: ConnectedCall | undefined;
  }) => who.user?.id === user || who.call?.to === user;
  for (const { value } of await bus.kv.entries(tasks, `${tenant}.>`)) {
    if (value.to === user || value.attempts.some(({ sessionId }) => found.sessions.has(sessionId)))
      addTask(found, value);
  }
  for (const { value } of await bus.kv.entries(sessions, `${tenant}.>`))
    if (isTheirs(value)) addSession(found, value);
  for await (const event of requestsOf(bus, tenant)) {
    if (event.type === "requested" && isTheirs(event))
      addSession(found, { sessionId: event.sessionId, call: event.call });
  }
  for await (const call of callsOf(bus, tenant)) {
    if (call.user.id === user || call.phoneCall?.to === user)
      addSession(found, { sessionId: call.sessionId, call: call.phoneCall });
  }
}

/** Call records are removed by whole days, elsewhere. */
async function findOld(bus: Bus, tenant: string, beforeMs: number, found: Found): Promise<void> {
  const isOld = (at: string | undefined) => at !== undefined && Date.parse(at) < beforeMs;
  const present = new Set<string>();
  for (const { value } of await bus.kv.entries(sessions, `${tenant}.>`)) {
    present.add(value.sessionId);
    if (value.state === "ended" && isOld(value.history.at(-1)?.at)) found.sessions.add(value.sessionId);
  }
  for await (const event of requestsOf(bus, tenant)) {
    // The record of a session that ended long ago is purged.
    if (isOld(event.at) && !present.has(event.sessionId)) found.sessions.add(event.sessionId);
  }
  for (const { value } of await bus.kv.entries(tasks, `${tenant}.>`))
    if (isTaskEnd(value.state) && isOld(value.endedAt)) addTask(found, value);
}

function addSession(
  found: Found,
  { sessionId, call }: { readonly sessionId: string; readonly call?: SessionRecord["call"] },
): void {
  found.sessions.add(sessionId);
  if (call?.task !== undefined) found.tasks.add(call.task);
}

function addTask(found: Found, { taskId: id, attempts }: TaskRecord): void {
  found.tasks.add(id);
  for (const { sessionId } of attempts) found.sessions.add(sessionId);
}

async function* requestsOf(bus: Bus, tenant: string): AsyncGenerator<SessionEvent> {
  yield* scanned(bus, sessionEvents, `session.${tenant}.*.requested`);
  yield* scanned(bus, sessionOverflow, `overflow.session.${tenant}.*.requested`);
}

const callsOf = (bus: Bus, tenant: string): AsyncGenerator<CallRecord> =>
  scanned(bus, calls, `call.${tenant}.>`);

async function* scanned<T>(bus: Bus, channel: Channel<T>, subject: string): AsyncGenerator<T> {
  let after = 0;
  for (;;) {
    const page = await bus.streams.read(channel, { subject, from: after + 1, limit: PAGE });
    for (const { sequence, message } of page) {
      after = sequence;
      yield message;
    }
    if (page.length < PAGE) return;
  }
}
