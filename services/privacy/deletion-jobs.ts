// The deletion jobs: one instance executes each, and another takes it over when that one is dead.
import type { ReceiptSigner } from "../../libs/auth/receipts.ts";
import { type Seen, watchBucket } from "../../libs/bus/bucket-view.ts";
import type { Stop } from "../../libs/bus/bus.ts";
import { Lease, mayAcquire } from "../../libs/bus/lease.ts";
import { deletionJobs } from "../../libs/contracts/buckets.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import { type DeletionJob, type DeletionReceipt, isOver } from "../../libs/contracts/privacy/deletion.ts";
import { isoNow, repeat } from "../../libs/runtime/clock.ts";
import { change, type RunDeletionDeps, runDeletion } from "./run-deletion.ts";

export interface DeletionJobsDeps extends RunDeletionDeps {
  readonly instance: string;
  readonly nextWriteId: () => string;
  readonly signer: ReceiptSigner | undefined;
}

const TICK_MS = 1000;
/** The owner writes a job at least this often, which shows others that it is alive. */
const HEARTBEAT_MS = 5000;
/** The owner of a job that has not changed for this long is dead. */
const DEAD_AFTER_MS = 20_000;

/** Executes jobs until stopped. Another instance starts an unfinished job again from the beginning. */
export async function startDeletionJobs(deps: DeletionJobsDeps): Promise<Stop> {
  const { bus, clock, instance, log } = deps;
  const jobs = await watchBucket(bus, deletionJobs, clock, { keep: (job) => !isOver(job) });
  let running: Promise<void> | undefined;
  let isStopped = false;
  const isFree = ({ record, seenAtMs }: Seen<DeletionJob>) =>
    mayAcquire(record.by, instance, clock.monotonic() - seenAtMs, DEAD_AFTER_MS);
  const look = () => {
    if (running !== undefined || isStopped) return;
    // One job at a time, oldest first, since each job reads all stores.
    const [next] = jobs
      .all()
      .filter(isFree)
      .sort((a, b) => (a.record.askedAt < b.record.askedAt ? -1 : 1));
    if (next === undefined) return;
    running = execute(deps, next, () => isStopped)
      .catch((error: unknown) =>
        log.warn({ error, job: next.record.id, retrying: true }, "failed to execute a deletion job"),
      )
      .finally(() => {
        running = undefined;
      });
  };
  const stopLooking = repeat(clock, TICK_MS, look, (error) =>
    log.error({ error }, "failed to look for deletion jobs"),
  );
  return async () => {
    isStopped = true;
    stopLooking();
    await jobs.stop();
    await running;
  };
}

async function execute(
  deps: DeletionJobsDeps,
  seen: Seen<DeletionJob>,
  isStopped: () => boolean,
): Promise<void> {
  const { bus, clock, instance, log, nextWriteId } = deps;
  const stamp = (job: DeletionJob) => ({ ...job, heartbeat: job.heartbeat + 1, writeId: nextWriteId() });
  const job: DeletionJob = stamp({
    ...seen.record,
    by: instance,
    takeovers: seen.record.takeovers + 1,
    state: "running",
    startedAt: seen.record.startedAt ?? isoNow(clock),
  });
  const isOwn = (stored: DeletionJob) => stored.by === instance && stored.takeovers === job.takeovers;
  const lease = await Lease.acquire({ bus, clock, bucket: deletionJobs, stamp, isOwn }, job, seen.revision);
  if (lease === undefined) return;
  log.info({ job: job.id, tenant: job.tenant, kind: job.kind }, "started a deletion job");
  const stopHeartbeat = repeat(
    clock,
    HEARTBEAT_MS,
    async () => void (await change(lease, {})),
    (error) => log.debug({ error, job: job.id }, "failed to write a deletion job's heartbeat"),
  );
  try {
    const outcome = await runDeletion(deps, lease, () => isStopped() || lease.isLost);
    if (outcome === "done") await finish(deps, lease);
    // After an orderly stop another instance need not wait for the lease to expire.
    else if (isStopped() && !lease.isLost) await change(lease, { by: undefined });
  } catch (error) {
    await change(lease, { reason: `Retrying after: ${messageOf(error)}`.slice(0, 480), by: undefined });
    throw error;
  } finally {
    stopHeartbeat();
  }
}

async function finish({ clock, log, signer }: DeletionJobsDeps, lease: Lease<DeletionJob>): Promise<void> {
  const { user: _, found: __, reason: ___, ...rest } = lease.record;
  const finished: DeletionJob = { ...rest, state: "done", finishedAt: isoNow(clock) };
  const receipt = signer === undefined ? undefined : await signer.sign(receiptOf(finished, clock.now()));
  const isSaved = await change(lease, {
    state: "done",
    finishedAt: finished.finishedAt,
    // With the remaining `userHash`, anyone who knows the user can check whose data this job removed.
    user: undefined,
    found: undefined,
    reason: signer === undefined ? "There is no receipt, because no signing key is configured." : undefined,
    receipt,
  });
  const { id, kind, counts } = lease.record;
  if (isSaved) log.info({ job: id, kind, counts }, "finished a deletion job");
}

const receiptOf = (job: DeletionJob, nowMs: number): DeletionReceipt => ({
  iss: "greenroom",
  jti: job.id,
  iat: Math.floor(nowMs / 1000),
  tenant: job.tenant,
  kind: job.kind,
  ...(job.userHash === undefined ? {} : { sub: job.userHash }),
  ...(job.before === undefined ? {} : { before: job.before }),
  askedBy: job.askedBy,
  askedAt: job.askedAt,
  startedAt: job.startedAt ?? job.askedAt,
  finishedAt: job.finishedAt ?? "",
  counts: job.counts,
  total: Object.values(job.counts).reduce((sum, count) => sum + count, 0),
});
