// Every KV bucket: its records, their keys, and how long they are kept.
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
import { Invitation, invitationKey } from "./sessions/invitation.ts";
import { SessionRecord } from "./sessions/session.ts";
import { METADATA_BYTES_MAX, StoredText, storedTextKey } from "./sessions/stored-text.ts";
import { CALL_SLOTS_KEY, CallSlots, TaskRecord, taskKey } from "./tasks/task.ts";
import { endpointKey, WebhookEndpoint, WebhookQueue } from "./webhooks/webhook.ts";

export interface Bucket<T> {
  readonly name: string;
  /** For people who look at NATS. */
  readonly description: string;
  readonly schema: z.ZodType<T>;
  readonly keyOf: (value: T) => string;
  /** Revisions kept of each key, the newest included. */
  readonly history: number;
  readonly maxBytes: number;
  readonly maxValueBytes: number;
  /** Removes abandoned keys. An update restarts the time, so never use it as a lease. */
  readonly ttlMs?: number;
  /**
   * The time to live of a value, if it is shorter than the bucket's; undefined for the bucket's. Watches learn nothing of
   * its end. An earlier NATS (before 2.11) keeps the value for the bucket's time.
   */
  valueTtlMs?(value: T): number | undefined;
}

const MIB = 1024 * 1024;
/** Base64 needs four bytes for three. NATS's own default allows messages of 1 MiB. */
const STORED_TEXT_BYTES_MAX = Math.ceil(METADATA_BYTES_MAX / 3) * 4 + 4 * 1024;

/** Session records. Written by the dispatcher only; the janitor purges old ended ones. */
export const sessions: Bucket<SessionRecord> = {
  name: "sessions",
  description: "Session records. Only the dispatcher writes them.",
  schema: SessionRecord,
  keyOf: sessionKey,
  history: 64,
  maxBytes: 1024 * MIB,
  maxValueBytes: 16 * 1024,
  // Longer than any session, for records that no janitor purged.
  ttlMs: 30 * 24 * 60 * 60 * 1000,
};

/** Large metadata of sessions. Written by gateways; the janitor deletes it with the session's record. */
export const sessionMetadata: Bucket<StoredText> = {
  name: "session_metadata",
  description: "Large metadata of sessions, by gateways.",
  schema: StoredText,
  keyOf: (text) => storedTextKey(text, text),
  history: 1,
  maxBytes: 1024 * MIB,
  maxValueBytes: STORED_TEXT_BYTES_MAX,
  // As long as the records.
  ttlMs: 30 * 24 * 60 * 60 * 1000,
};

/** The requests of room tokens. Written by the gateway. */
export const invitations: Bucket<Invitation> = {
  name: "invitations",
  description: "The requests of room tokens, from which sessions start. Gateways write them.",
  schema: Invitation,
  keyOf: invitationKey,
  history: 1,
  maxBytes: 512 * MIB,
  maxValueBytes: STORED_TEXT_BYTES_MAX + 16 * 1024,
  // As long as LiveKit renews the token of a connected user, within reason.
  ttlMs: 25 * 60 * 60 * 1000,
  // An unused token leaves nothing, or requests from anywhere would fill the bucket for a day.
  valueTtlMs: ({ unusedForS }) => (unusedForS === undefined ? undefined : unusedForS * 1000),
};

/** Host records. Each host writes its own. */
export const hosts: Bucket<HostRecord> = {
  name: "hosts",
  description: "Records of the agent-hosts. Each host writes its own.",
  schema: HostRecord,
  keyOf: (record) => record.hostId,
  history: 1,
  maxBytes: 64 * MIB,
  maxValueBytes: 128 * 1024,
};

/** The number of agents that the fleet keeps of each profile. */
export const pools: Bucket<PoolTarget> = {
  name: "pools",
  description: "The number of agents to keep of each profile.",
  schema: PoolTarget,
  keyOf: (target) => target.profile,
  history: 1,
  maxBytes: 16 * MIB,
  maxValueBytes: 4 * 1024,
};

/**
 * Conversation checkpoints of running sessions, written by the agent's host. The janitor deletes one when its session
 * ends; the TTL removes what no janitor deleted.
 */
export const conversations: Bucket<ConversationRecord> = {
  name: "conversations",
  description: "Conversation checkpoints of running sessions, by their hosts.",
  schema: ConversationRecord,
  keyOf: sessionKey,
  history: 1,
  maxBytes: 1024 * MIB,
  maxValueBytes: CONVERSATION_BYTES_MAX + 4 * 1024,
  ttlMs: 24 * 60 * 60 * 1000,
};

/** Sessions that ended in each minute, by tenant and profile. */
export const rollups: Bucket<Rollup> = {
  name: "rollups",
  description: "Numbers of ended sessions by minute, tenant and profile, by the janitor.",
  schema: Rollup,
  keyOf: (rollup) => `${rollup.tenant}.${rollup.profile}.${rollup.minute.replace(/[^0-9]/g, "")}`,
  history: 1,
  maxBytes: 128 * MIB,
  maxValueBytes: 8 * 1024,
  ttlMs: 90 * 24 * 60 * 60 * 1000,
};

/** Launches of agents and phone calls. Written by the providers service. */
export const launches: Bucket<LaunchRecord> = {
  name: "launches",
  description: "Launches of agents and phone calls in other systems, by the providers service.",
  schema: LaunchRecord,
  keyOf: attemptKey,
  history: 16,
  maxBytes: 256 * MIB,
  maxValueBytes: 8 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/**
 * Claim tickets of agent runners. The providers service offers, expires and removes them; a gateway records the claim.
 * The TTL removes abandoned tickets.
 */
export const claims: Bucket<ClaimRecord> = {
  name: "claims",
  description: "Claim tickets of agent runners, by the providers service and gateways.",
  schema: ClaimRecord,
  keyOf: (claim) => claimKey(claim.tenant, claim.claimId),
  history: 8,
  maxBytes: 64 * MIB,
  maxValueBytes: 4 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/** Records of outbound tasks. Written by the tasks service only. */
export const tasks: Bucket<TaskRecord> = {
  name: "tasks",
  description: "Records of outbound calls. Only the tasks service writes them.",
  schema: TaskRecord,
  keyOf: (record) => taskKey(record.tenant, record.taskId),
  // Room for every state of three attempts, and for one or two manual retries.
  history: 32,
  maxBytes: 1024 * MIB,
  maxValueBytes: 24 * 1024,
  // The longest schedule (SCHEDULE_AHEAD_DAYS_MAX) plus a month of waiting.
  ttlMs: 90 * 24 * 60 * 60 * 1000,
};

/** All granted call slots, in one record. Written by the tasks service only. */
export const callSlots: Bucket<CallSlots> = {
  name: "call_slots",
  description: "Call slots in use, in one record, by the tasks service.",
  schema: CallSlots,
  keyOf: () => CALL_SLOTS_KEY,
  history: 1,
  maxBytes: 8 * MIB,
  maxValueBytes: 128 * 1024,
};

/** Measurements of each attempt, written by its host. The calls service builds call records from them. */
export const usageReports: Bucket<UsageReport> = {
  name: "usage_reports",
  description: "Measurements of each attempt, by the attempt's host.",
  schema: UsageReport,
  keyOf: attemptKey,
  history: 1,
  maxBytes: 256 * MIB,
  maxValueBytes: 64 * 1024,
  ttlMs: 7 * 24 * 60 * 60 * 1000,
};

/** Key figures of each day. The calls service builds them from call records. */
export const dailyKpis: Bucket<DailyKpi> = {
  name: "daily_kpis",
  description: "Key figures of each day, by the calls service.",
  schema: DailyKpi,
  keyOf: (kpi) => kpiKey(kpi.tenant, kpi.day, kpi.profile),
  history: 1,
  maxBytes: 128 * MIB,
  maxValueBytes: 64 * 1024,
};

/** Exists where a calls service runs. The janitor then purges a session only after its call is recorded. */
export const callRecording: Bucket<CallRecording> = {
  name: "call_recording",
  description: "Marks that a calls service records calls before the janitor purges sessions.",
  schema: CallRecording,
  keyOf: () => CALL_RECORDING_KEY,
  history: 1,
  maxBytes: MIB,
  maxValueBytes: 1024,
};

/** Webhook endpoints. Written by gateways only. */
export const webhookEndpoints: Bucket<WebhookEndpoint> = {
  name: "webhook_endpoints",
  description: "Webhook endpoints. Only gateways write them.",
  schema: WebhookEndpoint,
  keyOf: (endpoint) => endpointKey(endpoint.tenant, endpoint.id),
  history: 1,
  maxBytes: 16 * MIB,
  maxValueBytes: 8 * 1024,
};

/** Delivery progress of each endpoint. Written by the webhooks service only. */
export const webhookQueues: Bucket<WebhookQueue> = {
  name: "webhook_queues",
  description: "Delivery progress of each webhook endpoint, by the webhooks service.",
  schema: WebhookQueue,
  keyOf: (queue) => endpointKey(queue.tenant, queue.endpoint),
  history: 1,
  maxBytes: 64 * MIB,
  maxValueBytes: 64 * 1024,
};

/**
 * Deletion jobs. A gateway or the retention schedule creates a job; then only the instance that runs it writes it.
 * The TTL exceeds every other retention time, so the proof outlives the data.
 */
export const deletionJobs: Bucket<DeletionJob> = {
  name: "deletion_jobs",
  description: "Jobs that delete data, and proofs of what was deleted.",
  schema: DeletionJob,
  keyOf: (job) => deletionJobKey(job.tenant, job.id),
  history: 1,
  maxBytes: 64 * MIB,
  maxValueBytes: 200 * 1024,
  ttlMs: 3 * 365 * 24 * 60 * 60 * 1000,
};

export const allBuckets: readonly Bucket<never>[] = [
  sessions,
  sessionMetadata,
  invitations,
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
