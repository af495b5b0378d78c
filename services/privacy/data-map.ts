// The one table of where people's data are: for each stream and bucket, how a tenant's and a person's part is found.
import type { AnyStore } from "../../libs/bus/bus.ts";
import {
  callRecording,
  callSlots,
  claims,
  conversations,
  dailyKpis,
  deletionJobs,
  hosts,
  launches,
  pools,
  rollups,
  sessions,
  tasks,
  usageReports,
  webhookEndpoints,
  webhookQueues,
} from "../../libs/contracts/buckets.ts";
import type { ClaimRecord } from "../../libs/contracts/claims/claim.ts";
import type { DeadLetter } from "../../libs/contracts/fleet/pool.ts";
import {
  type Channel,
  calls,
  deadLetters,
  handoffEvents,
  handoffRequests,
  sessionEvents,
  sessionLogs,
  sessionOverflow,
  taskEvents,
  taskRequests,
  webhookDeliveries,
  webhooks,
} from "../../libs/contracts/streams.ts";
import { fieldOf, isWord, matchesPerson } from "./match-person.ts";

/** Whose data are to go: a tenant's; or those of some sessions and tasks of it, and what else names a person. */
export interface Scope {
  readonly tenant: string;
  /** Absent: all of the tenant. */
  readonly parts?: {
    readonly user?: string;
    readonly sessions: ReadonlySet<string>;
    readonly tasks: ReadonlySet<string>;
  };
}

export interface StoreRule {
  readonly store: AnyStore;
  /** Filters that cover all of a tenant; none where single messages have to be looked at. */
  readonly ofTenant?: (tenant: string) => readonly string[];
  /** Filters that cover what is kept of one session, or of one task. */
  readonly ofSession?: (tenant: string, sessionId: string) => readonly string[];
  readonly ofTask?: (tenant: string, task: string) => readonly string[];
  /** Messages that are looked at one by one, and erased by their place. */
  readonly messages?: readonly MessageRule<never>[];
  /** Records whose keys don't say whose they are: they are listed, and those that match go. */
  readonly records?: (record: never, scope: Scope) => boolean;
  /** Why something stays. */
  readonly keeps?: string;
  readonly keepsForPerson?: string;
}

export interface MessageRule<T> {
  readonly channel: Channel<T>;
  readonly subject: (tenant: string) => string;
  readonly isOf: (message: T, scope: Scope) => boolean;
  /** Only looked at when it is about parts of a tenant: all of it goes by its subject. */
  readonly isForPartsOnly?: true;
}

const COUNTS_ONLY = "it holds counts and durations of many sessions, and nothing of one";

/** In the order in which they are emptied: what would bring something back goes before what it would bring back. */
export const storeRules: readonly StoreRule[] = [
  {
    store: taskRequests,
    ofTenant: (tenant) => [`tasks.outbound.${tenant}`, `tasks.outbound.${tenant}.>`],
    ofTask: (tenant, task) => [`tasks.outbound.${tenant}.${task}`],
    messages: [
      rule({
        channel: taskRequests,
        subject: () => taskRequests.subjects,
        isOf: (request, scope) => request.tenant === scope.tenant && matchesPerson(scope, request),
        isForPartsOnly: true,
      }),
    ],
  },
  {
    store: taskEvents,
    ofTenant: (tenant) => [`task.${tenant}.>`],
    ofTask: (tenant, task) => [`task.${tenant}.${task}.*`],
  },
  {
    store: tasks,
    ofTenant: (tenant) => [`${tenant}.>`],
    ofTask: (tenant, task) => [`${tenant}.${task}`],
  },
  {
    store: callSlots,
    keeps: "it holds ids of tasks that have a call slot now; the tasks service removes them itself",
  },
  {
    store: handoffEvents,
    messages: [
      rule({
        channel: handoffRequests,
        subject: () => handoffRequests.subjects,
        isOf: (request, scope) => isOfTenant(request, scope) && matchesPerson(scope, request),
      }),
      rule({
        channel: handoffEvents,
        subject: () => handoffEvents.subjects,
        isOf: (event, scope) => isOfTenant(event, scope) && matchesPerson(scope, event),
      }),
    ],
  },
  { store: claims, ofTenant: (tenant) => [`${tenant}.>`], records: dispatchOf as never },
  {
    store: sessionOverflow,
    ofTenant: (tenant) => [`overflow.session.${tenant}.>`],
    ofSession: (tenant, sessionId) => [`overflow.session.${tenant}.${sessionId}.*`],
  },
  {
    store: sessionEvents,
    ofTenant: (tenant) => [`session.${tenant}.>`],
    ofSession: (tenant, sessionId) => [`session.${tenant}.${sessionId}.*`],
  },
  ofSessionKeys(launches, ".*"),
  ofSessionKeys(sessions),
  ofSessionKeys(conversations),
  ofSessionKeys(usageReports, ".*"),
  {
    store: sessionLogs,
    ofTenant: (tenant) => [`log.${tenant}.*`],
    ofSession: (tenant, sessionId) => [`log.${tenant}.${sessionId}`],
  },
  {
    store: calls,
    ofTenant: (tenant) => [`call.${tenant}.>`],
    ofSession: (tenant, sessionId) => [`call.${tenant}.*.${sessionId}`],
  },
  {
    store: webhooks,
    ofTenant: (tenant) => [`webhook.${tenant}.>`],
    ofSession: (tenant, sessionId) => [`webhook.${tenant}.*.${sessionId}.*`],
    ofTask: (tenant, task) => [`webhook.${tenant}.*.${task}.*`],
  },
  {
    store: webhookDeliveries,
    ofTenant: (tenant) => [`delivery.${tenant}.>`],
    ofSession: (tenant, sessionId) => [`delivery.${tenant}.*.${sessionId}`],
    ofTask: (tenant, task) => [`delivery.${tenant}.*.${task}`],
  },
  {
    store: webhookEndpoints,
    ofTenant: (tenant) => [`${tenant}.>`],
    keepsForPerson: "an endpoint is the operator's",
  },
  {
    store: webhookQueues,
    ofTenant: (tenant) => [`${tenant}.>`],
    keepsForPerson:
      "it holds ids of sessions whose events wait; what is removed leaves it when its holder hears",
  },
  {
    store: deadLetters,
    messages: [rule({ channel: deadLetters, subject: () => deadLetters.subjects, isOf: letterOf })],
  },
  { store: rollups, ofTenant: (tenant) => [`${tenant}.>`], keepsForPerson: COUNTS_ONLY },
  { store: dailyKpis, ofTenant: (tenant) => [`${tenant}.>`], keepsForPerson: COUNTS_ONLY },
  { store: hosts, keeps: "a host's record names the sessions that it serves now, and no others" },
  { store: pools, keeps: "it holds how many agents are kept" },
  { store: callRecording, keeps: "it says that calls are recorded" },
  { store: deletionJobs, keeps: "it is the proof: counts, and a hash of the user" },
];

export const storeName = (store: AnyStore): string => ("stream" in store ? store.stream : store.name);

function rule<T>(of: MessageRule<T>): MessageRule<never> {
  return of as unknown as MessageRule<never>;
}

/** A bucket whose keys begin with the tenant and the session. */
function ofSessionKeys(store: AnyStore, rest = ""): StoreRule {
  return {
    store,
    ofTenant: (tenant) => [`${tenant}.>`],
    ofSession: (tenant, sessionId) => [`${tenant}.${sessionId}${rest}`],
  };
}

function dispatchOf(dispatch: ClaimRecord, scope: Scope): boolean {
  return scope.parts?.sessions.has(dispatch.sessionId) ?? true;
}

const isOfTenant = (message: unknown, { tenant }: Scope): boolean =>
  typeof message === "object" && message !== null && "tenant_id" in message && message.tenant_id === tenant;

/** A letter's subject says whose it was; of what comes from other systems, only what it says does. */
function letterOf({ subject, payload }: DeadLetter, scope: Scope): boolean {
  const [first, second, third] = subject.replace(/^relief\./, "").split(".");
  const tenant =
    first === "runtime"
      ? fieldOf(payload, "tenant_id")
      : first === "$KV" || first === "tasks"
        ? third
        : second;
  if (tenant !== scope.tenant) return false;
  // What nobody could read may be damaged in any way, so that words of it are looked at.
  return isWord(scope, subject) || isWord(scope, payload);
}
