// The table of personal data: for each stream and bucket, how to find the data of a tenant and of a person.
import type { AnyStore } from "../../libs/bus/bus.ts";
import {
  callRecording,
  callSlots,
  claims,
  conversations,
  dailyKpis,
  deletionJobs,
  hosts,
  invitations,
  launches,
  pools,
  rollups,
  sessionMetadata,
  sessions,
  tasks,
  usageReports,
  webhookEndpoints,
  webhookQueues,
} from "../../libs/contracts/buckets.ts";
import type { ClaimRecord } from "../../libs/contracts/claims/claim.ts";
import type { DeadLetter } from "../../libs/contracts/fleet/pool.ts";
import type { Invitation } from "../../libs/contracts/sessions/invitation.ts";
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

/** The data to delete: all data of a tenant, or some of its sessions and tasks, and the data that name a person. */
export interface Scope {
  readonly tenant: string;
  /** Absent: all data of the tenant. */
  readonly parts?: {
    readonly user?: string;
    readonly sessions: ReadonlySet<string>;
    readonly tasks: ReadonlySet<string>;
  };
}

export interface StoreRule {
  readonly store: AnyStore;
  /** Filters for all data of a tenant; absent where messages are checked one by one. */
  readonly ofTenant?: (tenant: string) => readonly string[];
  /** Filters for the data of one session, or of one task. */
  readonly ofSession?: (tenant: string, sessionId: string) => readonly string[];
  readonly ofTask?: (tenant: string, task: string) => readonly string[];
  /** Messages that are checked one by one, and erased by sequence. */
  readonly messages?: readonly MessageRule<never>[];
  /** Records whose keys do not name their session: all are listed, and matching ones are removed. */
  readonly records?: (record: never, scope: Scope) => boolean;
  /** Why the data are kept. */
  readonly keeps?: string;
  readonly keepsForPerson?: string;
}

export interface MessageRule<T> {
  readonly channel: Channel<T>;
  readonly subject: (tenant: string) => string;
  readonly isOf: (message: T, scope: Scope) => boolean;
  /** Only checked for parts of a tenant, since a subject covers all of a tenant. */
  readonly isForPartsOnly?: true;
}

const COUNTS_ONLY = "holds counts and durations of many sessions, and no data of a single one";

/** In the order of deletion: a store that could restore data of another comes first. */
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
    keeps: "holds ids of tasks that have a call slot now; the tasks service removes them",
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
  { store: claims, ofTenant: (tenant) => [`${tenant}.>`], records: claimOf as never },
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
  {
    store: invitations,
    ofTenant: (tenant) => [`${tenant}.>`],
    records: ((invitation: Invitation, scope: Scope) =>
      invitation.tenant === scope.tenant && matchesPerson(scope, invitation)) as never,
  },
  ofSessionKeys(launches, ".*"),
  ofSessionKeys(sessionMetadata, ".*"),
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
    keepsForPerson: "belongs to the operator",
  },
  {
    store: webhookQueues,
    ofTenant: (tenant) => [`${tenant}.>`],
    keepsForPerson: "holds ids of sessions whose events wait; its owner drops removed ones",
  },
  {
    store: deadLetters,
    messages: [rule({ channel: deadLetters, subject: () => deadLetters.subjects, isOf: deadLetterOf })],
  },
  { store: rollups, ofTenant: (tenant) => [`${tenant}.>`], keepsForPerson: COUNTS_ONLY },
  { store: dailyKpis, ofTenant: (tenant) => [`${tenant}.>`], keepsForPerson: COUNTS_ONLY },
  { store: hosts, keeps: "names the sessions that a host serves now, and no others" },
  { store: pools, keeps: "holds pool sizes and versions of agent code" },
  { store: callRecording, keeps: "marks that calls are recorded" },
  { store: deletionJobs, keeps: "is the proof: counts, and a hash of the user" },
];

export const storeName = (store: AnyStore): string => ("stream" in store ? store.stream : store.name);

function rule<T>(of: MessageRule<T>): MessageRule<never> {
  return of as unknown as MessageRule<never>;
}

/** The rule of a bucket whose keys begin with the tenant and the session. */
function ofSessionKeys(store: AnyStore, rest = ""): StoreRule {
  return {
    store,
    ofTenant: (tenant) => [`${tenant}.>`],
    ofSession: (tenant, sessionId) => [`${tenant}.${sessionId}${rest}`],
  };
}

function claimOf(claim: ClaimRecord, scope: Scope): boolean {
  return scope.parts?.sessions.has(claim.sessionId) ?? true;
}

const isOfTenant = (message: unknown, { tenant }: Scope): boolean =>
  typeof message === "object" && message !== null && "tenant_id" in message && message.tenant_id === tenant;

/** Whether a dead letter belongs to the scope, by its subject, or by its content for messages of other systems. */
function deadLetterOf({ subject, payload }: DeadLetter, scope: Scope): boolean {
  const [first, second, third] = subject.replace(/^overflow\./, "").split(".");
  const tenant =
    first === "runtime"
      ? fieldOf(payload, "tenant_id")
      : first === "$KV" || first === "tasks"
        ? third
        : second;
  if (tenant !== scope.tenant) return false;
  // An unreadable message may be damaged in any way, so its words are compared.
  return isWord(scope, subject) || isWord(scope, payload);
}
