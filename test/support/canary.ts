// A person's data in every stream and bucket, marked so that what is left of them can be found.
import type { Bus } from "../../libs/bus/bus.ts";
import { callOf, type EndedSession } from "../../libs/calls/call-of.ts";
import { KpiMaker } from "../../libs/calls/kpis-of.ts";
import {
  allBuckets,
  type Bucket,
  conversations,
  dailyKpis,
  dispatches,
  launches,
  rollups,
  sessionReports,
  sessions,
  tasks,
  webhookEndpoints,
} from "../../libs/contracts/buckets.ts";
import {
  calls,
  deadLetters,
  handoffRequests,
  reliefEvents,
  runtimeEvents,
  sessionEvents,
  sessionLogs,
  settledEvents,
  taskEvents,
  taskRequests,
  webhookDeliveries,
  webhooks,
} from "../../libs/contracts/channels.ts";
import type { SessionRecord } from "../../libs/contracts/session.ts";
import { webhookEventId } from "../../libs/contracts/webhook.ts";
import { step } from "../../libs/session/step.ts";
import { newTask, step as stepTask } from "../../libs/task/step.ts";
import { anEvent, aSession } from "./examples.ts";
import { lineGiven } from "./task-examples.ts";

export interface Person {
  readonly tenant: string;
  readonly user: string;
  /** Appears in everything that is said by or about them. */
  readonly canary: string;
  /** Of ids: letters, digits and _ only. */
  readonly name: string;
}

/** When it happened: by default so lately that nothing is too old. */
export interface Told {
  readonly at?: string;
}

/** A session of theirs that has ended, as its record stands. */
export function endedSession({ tenant, user, canary, name }: Person, at: string): EndedSession {
  const asked = aSession(`s_${name}`, {
    tenant,
    user: { id: user, name: canary },
    metadata: { note: canary },
    history: [{ state: "requested", at, attempt: 1 }],
  });
  const chosen = step(asked, { type: "host_chosen", attempt: 1, host: "h", epoch: 1, asked: "warm", at });
  const said = { tenant, sessionId: asked.id, attempt: 1, host: "h", epoch: 1, room: asked.room, at };
  const ready = step(chosen, { type: "ready", ...said, identity: "agent-1", warm: "warm", tookMs: 5 });
  return step(ready, {
    type: "end_requested",
    ...{ tenant, sessionId: asked.id, at, reason: "completed", why: `${canary} said goodbye` },
  } as never) as EndedSession;
}

/** Writes something of a person into every stream and bucket that may hold any. */
export async function leaveTraces(bus: Bus, person: Person, { at = new Date().toISOString() }: Told = {}) {
  const { tenant, user, canary, name } = person;
  const session = endedSession(person, at);
  const call = callOf(session, [], []);
  const told = { tenant, sessionId: session.id, at };
  await save(bus, sessions, session);
  await bus.publish(
    { ...settledEvents },
    anEvent(session.id, { tenant, at, user: session.user, metadata: session.metadata }),
  );
  await bus.publish(sessionEvents, { type: "end_requested", ...told, reason: "completed", why: canary });
  await bus.publish(reliefEvents, { type: "woken", ...told, attempt: 1 });
  await bus.publish(sessionLogs, {
    ...{ tenant, session: session.id },
    lines: [{ at, level: "info", message: `${canary} is heard` }],
  });
  await bus.publish(calls, call);
  await leaveLaunches(bus, person, session, at);
  await leaveTasks(bus, person, at);
  await leaveWebhooks(bus, person, session, at);
  await bus.publish(deadLetters, {
    ...{ subject: `session.${tenant}.${session.id}.ready`, stream: "SESSIONS", reason: "it is damaged" },
    ...{ sequence: numberOf(name), deliveries: 1, at, payload: `{"user":"${user}","said":"${canary}"` },
  });
  await save(bus, rollups, {
    ...{ tenant, profile: name, minute: "2026-01-31T12:34Z", sessions: 1, byReason: {}, byWarmth: {} },
    attempts: 1,
  });
  const sums = new KpiMaker();
  sums.add(call);
  await save(bus, dailyKpis, {
    ...sums.sums(),
    ...{ v: 1 as const, tenant, profile: name, day: "20260131" },
  });
}

async function leaveLaunches(bus: Bus, { tenant, canary, name }: Person, session: SessionRecord, at: string) {
  const launch = { v: 1 as const, tenant, session: session.id, attempt: 1, profile: "echo", at };
  await save(bus, launches, {
    ...launch,
    ...{ provider: "sip", state: "over", by: "c", takenUp: 0, why: canary, opId: "x" },
  });
  await save(bus, sessionReports, {
    ...launch,
    ...{ host: "h", warm: "warm", servedMs: 1, ended: "ended", why: canary },
  });
  await save(bus, conversations, {
    ...{ tenant, session: session.id, attempt: 1, checkpoint: 1, omitted: 0 },
    items: [{ id: "1", type: "message", createdAt: 1, content: [canary] }],
  });
  const dispatch = { tenant, session: session.id, attempt: 1, provider: "webhook", profile: "echo" } as const;
  await save(bus, dispatches, {
    ...{ v: 1, id: `${session.id}-1`, ...dispatch, room: session.room, identity: "agent-1", traceId: canary },
    ...{ state: "used", expiresAt: at, at, opId: "x" },
  });
  await bus.publish(handoffRequests, {
    ...{ version: 1, trace_id: name, tenant_id: tenant, agent_id: "echo", room: session.room },
    metadata: { note: canary, session: session.id },
  });
  await bus.publish(runtimeEvents, {
    ...{ type: "handoff_failed", version: 1, at, trace_id: name, tenant_id: tenant, session_id: session.id },
    ...{ agent_id: "echo", room: session.room, reason: "x", message: canary },
  } as never);
}

async function leaveTasks(bus: Bus, { tenant, user, canary, name }: Person, at: string) {
  const request = { tenant, to: user, profile: "echo", taskId: `t_${name}`, metadata: { note: canary } };
  await bus.publish(taskRequests, request);
  const queued = newTask(request, { provider: "sip", deadlineMs: { attempt: 900_000 } }, { place: 1, at });
  const dialing = stepTask(queued, lineGiven(queued));
  const canceled = { tenant, taskId: queued.id, at, attempt: 1, why: canary };
  const over = stepTask(dialing, { type: "cancel_requested", ...canceled });
  await save(bus, tasks, { ...over, state: "canceled", endedAt: at });
  await bus.publish(taskEvents, { type: "cancel_requested", ...canceled });
}

async function leaveWebhooks(bus: Bus, { tenant, canary, name }: Person, session: SessionRecord, at: string) {
  const endpoint = `wh_${name}`;
  await save(bus, webhookEndpoints, {
    ...{ v: 1, tenant, id: endpoint, url: "http://127.0.0.1:9/", secret: "whsec_AAAA", events: ["*"] },
    ...{ generation: 1, createdAt: at, opId: "x" },
  } as never);
  const id = webhookEventId("session", session.id, 1);
  await bus.publish(webhooks, {
    ...{ tenant, endpoint, about: "session", of: session.id },
    event: {
      ...{ id, type: "session.ended", sessionId: session.id, sequence: 1, timestamp: at },
      data: { note: canary },
    },
  });
  await bus.publish(webhookDeliveries, {
    ...{
      tenant,
      endpoint,
      of: session.id,
      eventId: id,
      type: "session.ended",
      sequence: 1,
      outcome: "failed",
    },
    ...{ tries: 1, tookMs: 1, why: canary, at },
  });
}

async function save<T>(bus: Bus, bucket: Bucket<T>, value: T): Promise<void> {
  const stands = await bus.read(bucket, bucket.keyOf(value));
  if ((await bus.save(bucket, value, stands?.revision ?? 0)) === undefined)
    throw new Error(`${bucket.name} did not take what a test saves`);
}

const numberOf = (name: string): number =>
  [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 1e9;

/** All texts of all buckets, newest revisions only, by the name of each. */
export async function textsOfBuckets(bus: Bus): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const bucket of allBuckets as unknown as readonly Bucket<unknown>[]) {
    const entries = await bus.list(bucket);
    texts.set(bucket.name, JSON.stringify(entries));
  }
  return texts;
}
