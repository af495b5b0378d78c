// Removing what is kept of people: jobs that were asked for or fell due, how they go, and what was removed.
import { z } from "zod";
import { SessionId, Tenant, token } from "../ids.ts";

export const DeletionJobId = token("A deletion job's id", 80);

/** `tenant`: all of a tenant. `user`: all of one of its users. `retention`: what is older than it may be kept. */
const DeletionKind = z.enum(["tenant", "user", "retention"]);

/** Sessions that a job has found, so that whoever takes it over looks for late news of them too. */
export const FOUND_MAX = 1000;

/** One job. A gateway writes it when it is asked for; from then on the instance that carries it out does. */
export const DeletionJob = z.object({
  v: z.literal(1),
  id: DeletionJobId,
  tenant: Tenant,
  kind: DeletionKind,
  /** Whose data, while they are being removed. */
  user: z.string().max(256).optional(),
  /** The SHA-256 of the tenant and the user, which stays: who knows the user can tell that it was this one. */
  userHash: z.string().optional(),
  /** Of retention: what was over before this time goes. */
  before: z.iso.datetime().optional(),
  /** `api`, or `schedule`. */
  askedBy: z.string().max(200),
  askedAt: z.string(),
  /** `waiting`: sessions or tasks that are to go still run, and were told to end. */
  state: z.enum(["asked", "running", "waiting", "done", "failed"]),
  reason: z.string().max(480).optional(),
  /** Which instance carries it out, and how often it was taken over. */
  by: z.string().optional(),
  takeovers: z.number().int().nonnegative(),
  /** How often all stores were gone through. The last time nothing was found. */
  passes: z.number().int().nonnegative(),
  /** What was removed, by store: messages of a stream, revisions of a bucket's keys. */
  counts: z.record(z.string(), z.number().int().nonnegative()),
  /** Sessions and tasks whose parts were looked for, when the job isn't about all of a tenant. */
  sessions: z.number().int().nonnegative(),
  tasks: z.number().int().nonnegative(),
  /** Their ids, until it is done. */
  found: z
    .array(SessionId)
    .max(2 * FOUND_MAX)
    .optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
  /** A JWS over what was done. Absent when no key to sign with is set. */
  receipt: z.string().optional(),
  heartbeat: z.number().int().nonnegative(),
  writeId: z.string(),
});
export type DeletionJob = z.infer<typeof DeletionJob>;

export const deletionJobKey = (tenant: string, id: string): string => `${tenant}.${id}`;

export const isOver = ({ state }: Pick<DeletionJob, "state">): boolean =>
  state === "done" || state === "failed";

/** What a receipt says, and what its signature holds it to. */
export const DeletionReceipt = z.object({
  iss: z.literal("greenroom"),
  /** The job's id. */
  jti: z.string(),
  /** Seconds since 1970. */
  iat: z.number(),
  tenant: z.string(),
  kind: DeletionKind,
  /** As `userHash` of the job. */
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
