// Deletion jobs for personal data: their records and their receipts.
import { z } from "zod";
import { SessionId, Tenant, token } from "../ids.ts";

export const DeletionJobId = token("A deletion job's id", 80);

/** `tenant`: a tenant's data. `user`: the data of one user of a tenant. `retention`: data older than the limit. */
const DeletionKind = z.enum(["tenant", "user", "retention"]);

/** Maximum number of found sessions in a record. After a takeover, the new owner checks them for late data too. */
export const FOUND_MAX = 1000;

/** One job. A gateway creates the record; then only the instance that runs the job writes it. */
export const DeletionJob = z.object({
  v: z.literal(1),
  id: DeletionJobId,
  tenant: Tenant,
  kind: DeletionKind,
  /** The user whose data is deleted. Removed when the job is done. */
  user: z.string().max(256).optional(),
  /** SHA-256 of tenant and user. Kept, so that anyone who knows the user can verify the job. */
  userHash: z.string().optional(),
  /** For retention jobs: everything that ended before this time is deleted. */
  before: z.iso.datetime().optional(),
  /** `schedule` for retention jobs; else what the API's caller gave, or `api`. */
  askedBy: z.string().max(200),
  askedAt: z.string(),
  /** `waiting`: sessions or tasks to delete still run and were asked to end. */
  state: z.enum(["asked", "running", "waiting", "done", "failed"]),
  reason: z.string().max(480).optional(),
  /** The instance that runs the job, and how often another took it over. */
  by: z.string().optional(),
  takeovers: z.number().int().nonnegative(),
  /** Number of passes through all stores. The last pass found nothing. */
  passes: z.number().int().nonnegative(),
  /** Deleted items by store: messages of a stream, revisions of a bucket's keys. */
  counts: z.record(z.string(), z.number().int().nonnegative()),
  /** Number of sessions and tasks whose data was searched for. Not set for a job of a whole tenant. */
  sessions: z.number().int().nonnegative(),
  tasks: z.number().int().nonnegative(),
  /** The ids of the found sessions and tasks, until the job is done. */
  found: z
    .array(SessionId)
    .max(2 * FOUND_MAX)
    .optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
  /** A JWS over the result. Absent if no signing key is configured. */
  receipt: z.string().optional(),
  heartbeat: z.number().int().nonnegative(),
  writeId: z.string(),
});
export type DeletionJob = z.infer<typeof DeletionJob>;

export const deletionJobKey = (tenant: string, id: string): string => `${tenant}.${id}`;

export const isOver = ({ state }: Pick<DeletionJob, "state">): boolean =>
  state === "done" || state === "failed";

/** The signed content of a receipt. */
export const DeletionReceipt = z.object({
  iss: z.literal("greenroom"),
  /** The job's id. */
  jti: z.string(),
  /** Seconds since 1970. */
  iat: z.number(),
  tenant: z.string(),
  kind: DeletionKind,
  /** The job's `userHash`. */
  sub: z.string().optional(),
  before: z.string().optional(),
  askedBy: z.string(),
  askedAt: z.string(),
  startedAt: z.string(),
  finishedAt: z.string(),
  counts: z.record(z.string(), z.number()),
  total: z.number(),
});
export type DeletionReceipt = z.infer<typeof DeletionReceipt>;
