// Every KV bucket: what is kept in it, under which key, for how long.
import type { z } from "zod";
import { CALL_RECORDING_KEY, CallRecording, UsageReport } from "./calls/call.ts";
import { DailyKpi, kpiKey } from "./calls/kpi.ts";
import { ClaimRecord, claimKey } from "./claims/claim.ts";
import { HostRecord } from "./fleet/host.ts";
import { PoolTarget, Rollup } from "./fleet/pool.ts";
import { attemptKey, sessionKey } from "./ids.ts";
import { DeletionJob, deletionJobKey } from "./privacy/deletion.ts";
import { LaunchRecord } from "./providers/provider.ts";
import { CONVERSATION_BYTES_MAX, ConversationRecord } from "./sessions/conversation.ts";
import { SessionRecord } from "./sessions/session.ts";
import { CALL_SLOTS_KEY, CallSlots, TaskRecord, taskKey } from "./tasks/task.ts";
import { endpointKey, WebhookEndpoint, WebhookQueue } from "./webhooks/webhook.ts";

export interface Bucket<T> {
  readonly name: string;
  readonly schema: z.ZodType<T>;
  readonly keyOf: (value: T) => string;
  /** Revisions kept of each key, the newest included. */
  readonly history: number;
  readonly maxBytes: number;
  readonly maxValueBytes: number;
  /** Garbage collection, never a lease: an update drops it. */
  readonly ttlMs?: number;
}

const MIB = 1024 * 1024;

/** The sessions. Only the dispatcher writes here; the janitor purges what ended long ago. */
export const sessions: Bucket<SessionRecord> = {
  name: "sessions",
  schema: SessionRecord,
  keyOf: sessionKey,
  history: 64,
  maxBytes: 1024 * MIB,
  maxValueBytes: 16 * 1024,
  // For what no janitor purged; no session lasts nearly as long.
  ttlMs: 30 * 24 * 60 * 60 * 1000,
};

/** The hosts, each written by itself. */
export const hosts: Bucket<HostRecord> = {
  name: "hosts",
  schema: HostRecord,
  keyOf: (record) => record.hostId,
  history: 1,
  maxBytes: 64 * MIB,
  maxValueBytes: 128 * 1024,
};

/** How many agents of each profile the fleet keeps. */
export const pools: Bucket<PoolTarget> = {
  name: "pools",
  schema: PoolTarget,
  keyOf: (target) => target.profile,
  history: 1,
  maxBytes: 16 * MIB,
  maxValueBytes: 4 * 1024,
};

/**
 * What was said in each running session, written by the host of its agent. The janitor removes it when the session
 * ends; the time to live is for what no janitor removed.
 */
export const conversations: Bucket<ConversationRecord> = {
  name: "conversations",
  schema: ConversationRecord,
  keyOf: sessionKey,
  history: 1,
  maxBytes: 1024 * MIB,
  maxValueBytes: CONVERSATION_BYTES_MAX + 4 * 1024,
  ttlMs: 24 * 60 * 60 * 1000,
};

/** What ended in each minute. */
export const rollups: Bucket<Rollup> = {
  name: "rollups",
  schema: Rollup,
  keyOf: (rollup) => `${rollup.tenant}.${rollup.profile}.${rollup.minute.replace(/[^0-9]/g, "")}`,
  history: 1,
  maxBytes: 128 * MIB,
  maxValueBytes: 8 * 1024,
  ttlMs: 90 * 24 * 60 * 60 * 1000,
};

/** What providers were asked for and what came of it, written by the providers service. */
export const launches: Bucket<LaunchRecord> = {
  name: "launches",
  schema: LaunchRecord,
  keyOf: attemptKey,
  history: 16,
  maxBytes: 256 * MIB,
  maxValueBytes: 8 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/**
 * What agent runners may claim. The providers service offers, expires and removes claims; a gateway writes who claimed.
 * The time to live is for what nobody removed.
 */
export const claims: Bucket<ClaimRecord> = {
  name: "claims",
  schema: ClaimRecord,
  keyOf: (dispatch) => claimKey(dispatch.tenant, dispatch.claimId),
  history: 8,
  maxBytes: 64 * MIB,
  maxValueBytes: 4 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/** The outbound tasks. Only the tasks service writes here. */
export const tasks: Bucket<TaskRecord> = {
  name: "tasks",
  schema: TaskRecord,
  keyOf: (record) => taskKey(record.tenant, record.taskId),
  // Three attempts with every state of each, and a life or two more.
  history: 32,
  maxBytes: 1024 * MIB,
  maxValueBytes: 24 * 1024,
  // Longer than a task can be planned ahead, and wait after that.
  ttlMs: 90 * 24 * 60 * 60 * 1000,
};

/** Which tasks have a line, in one record. Only the tasks service writes here. */
export const callSlots: Bucket<CallSlots> = {
  name: "call_slots",
  schema: CallSlots,
  keyOf: () => CALL_SLOTS_KEY,
  history: 1,
  maxBytes: 8 * MIB,
  maxValueBytes: 128 * 1024,
};

/** What agents measured while they served, each written by its host; the calls service builds call records from it. */
export const usageReports: Bucket<UsageReport> = {
  name: "usage_reports",
  schema: UsageReport,
  keyOf: attemptKey,
  history: 1,
  maxBytes: 256 * MIB,
  maxValueBytes: 64 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/** How the calls of each day went; the calls service builds it from the call records. */
export const dailyKpis: Bucket<DailyKpi> = {
  name: "daily_kpis",
  schema: DailyKpi,
  keyOf: (kpi) => kpiKey(kpi.tenant, kpi.day, kpi.profile),
  history: 1,
  maxBytes: 128 * MIB,
  maxValueBytes: 64 * 1024,
};

/** Says that calls are recorded here: the janitor then purges no session before its call is. Written by the calls service. */
export const callRecording: Bucket<CallRecording> = {
  name: "call_recording",
  schema: CallRecording,
  keyOf: () => CALL_RECORDING_KEY,
  history: 1,
  maxBytes: MIB,
  maxValueBytes: 1024,
};

/** Whom to tell what happens. Only gateways write here. */
export const webhookEndpoints: Bucket<WebhookEndpoint> = {
  name: "webhook_endpoints",
  schema: WebhookEndpoint,
  keyOf: (endpoint) => endpointKey(endpoint.tenant, endpoint.id),
  history: 1,
  maxBytes: 16 * MIB,
  maxValueBytes: 8 * 1024,
};

/** How far the deliveries to each of those have come. Only the webhooks service writes here. */
export const webhookQueues: Bucket<WebhookQueue> = {
  name: "webhook_queues",
  schema: WebhookQueue,
  keyOf: (queue) => endpointKey(queue.tenant, queue.endpoint),
  history: 1,
  maxBytes: 64 * MIB,
  maxValueBytes: 64 * 1024,
};

/**
 * What was removed, or is being removed: a gateway or the retention's clock asks, and the instance that carries it out
 * writes from then on. The proof is kept for longer than anything that it is about.
 */
export const deletionJobs: Bucket<DeletionJob> = {
  name: "deletion_jobs",
  schema: DeletionJob,
  keyOf: (job) => deletionJobKey(job.tenant, job.id),
  history: 1,
  maxBytes: 64 * MIB,
  maxValueBytes: 200 * 1024,
  ttlMs: 3 * 365 * 24 * 60 * 60 * 1000,
};

export const allBuckets: readonly Bucket<never>[] = [
  sessions,
  hosts,
  pools,
  conversations,
  rollups,
  launches,
  usageReports,
  dailyKpis,
  callRecording,
  claims,
  tasks,
  callSlots,
  webhookEndpoints,
  webhookQueues,
  deletionJobs,
] as never;
