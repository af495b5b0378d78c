// The jobs by which data are removed: one instance carries each out, and another when that one is gone.

import type { ReceiptSigner } from "../../libs/auth/receipts.ts";
import type { Stop } from "../../libs/bus/bus.ts";
import { deletionJobs } from "../../libs/contracts/buckets.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import {
  type DeletionJob,
  type DeletionReceipt,
  deletionJobKey,
  isOver,
} from "../../libs/contracts/privacy/deletion.ts";
import { isoNow, repeat } from "../../libs/runtime/clock.ts";
import { createKeyedQueue } from "../../libs/runtime/keyed-queue.ts";
import { type HeldJob, type RunDeletionDeps, runDeletion } from "./run-deletion.ts";

export interface DeletionJobsDeps extends RunDeletionDeps {
  readonly instance: string;
  readonly nextWriteId: () => string;
  readonly signer: ReceiptSigner | undefined;
}

const TICK_MS = 1000;
/** Its holder writes it so often at least, by which others see that it lives. */
const BEAT_MS = 5000;
/** A job that stood unchanged for longer was left by who held it. */
const TAKE_OVER_MS = 20_000;

interface Known {
  readonly job: DeletionJob;
  readonly revision: number;
  readonly seenAtMs: number;
}

/** Looks for jobs until it is stopped. What is under way then another instance starts again from the beginning. */
export async function startDeletionJobs(deps: DeletionJobsDeps): Promise<Stop> {
  const { bus, clock, instance, log } = deps;
  const known = new Map<string, Known>();
  let running: Promise<void> | undefined;
  let isStopped = false;
  const stopWatching = await bus.kv.watch(deletionJobs, ({ key, value, revision }) => {
    if (value === undefined) known.delete(key);
    else known.set(key, { job: value, revision, seenAtMs: clock.monotonic() });
  });
  const isFree = ({ job, seenAtMs }: Known) =>
    !isOver(job) &&
    (job.by === undefined || job.by === instance || clock.monotonic() - seenAtMs >= TAKE_OVER_MS);
  const look = () => {
    if (running !== undefined || isStopped) return;
    // One after the other, oldest first: each goes through all that there is.
    const [next] = [...known.values()]
      .filter(isFree)
      .sort((a, b) => (a.job.askedAt < b.job.askedAt ? -1 : 1));
    if (next === undefined) return;
    running = carryOutOne(deps, next.job, () => isStopped)
      .catch((error: unknown) =>
        log.warn({ error, job: next.job.id }, "a deletion stopped; it is taken up again"),
      )
      .finally(() => {
        running = undefined;
      });
  };
  const stopLooking = repeat(clock, TICK_MS, look, (error) =>
    log.error({ error }, "looking for deletions failed"),
  );
  return async () => {
    isStopped = true;
    stopLooking();
    await stopWatching();
    await running;
  };
}

async function carryOutOne(
  deps: DeletionJobsDeps,
  seen: DeletionJob,
  isStopped: () => boolean,
): Promise<void> {
  const { bus, clock, instance, log } = deps;
  const entry = await bus.kv.get(deletionJobs, deletionJobKey(seen.tenant, seen.id));
  // What was seen may have changed since: only who saw it as it stands may take it.
  if (entry === undefined || entry.value.heartbeat !== seen.heartbeat) return;
  const held = new Held(deps, entry.value, entry.revision);
  const { job } = held;
  const isTaken = await held.change({
    by: instance,
    takeovers: job.takeovers + 1,
    state: "running",
    startedAt: job.startedAt ?? isoNow(clock),
  });
  if (!isTaken) return;
  log.info({ job: job.id, tenant: job.tenant, kind: job.kind }, "a deletion begins");
  const stopBeating = repeat(
    clock,
    BEAT_MS,
    async () => void (await held.change({})),
    (error) => log.debug({ error, job: job.id }, "a deletion's beat failed"),
  );
  try {
    const outcome = await runDeletion(deps, held, () => isStopped() || held.isLost);
    if (outcome === "done") await finish(deps, held);
    // Who stops in order leaves it to another at once.
    else if (isStopped() && !held.isLost) await held.change({ by: undefined });
  } catch (error) {
    await held.change({ reason: `it is tried again: ${messageOf(error)}`.slice(0, 480), by: undefined });
    throw error;
  } finally {
    stopBeating();
  }
}

async function finish({ clock, log, signer }: DeletionJobsDeps, held: Held): Promise<void> {
  const { user: _, found: __, reason: ___, ...rest } = held.job;
  const finished: DeletionJob = { ...rest, state: "done", finishedAt: isoNow(clock) };
  const receipt = signer === undefined ? undefined : await signer.sign(receiptOf(finished, clock.now()));
  const isSaved = await held.change({
    state: "done",
    finishedAt: finished.finishedAt,
    // The hash stays, by which who knows the user can tell that it was this one.
    user: undefined,
    found: undefined,
    reason: signer === undefined ? "There is no receipt, since no key to sign it with is set." : undefined,
    ...(receipt === undefined ? {} : { receipt }),
  });
  if (isSaved)
    log.info({ job: held.job.id, kind: held.job.kind, counts: held.job.counts }, "a deletion is done");
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

/** A job and where it stands. Changes are written one after the other, the beat's among them. */
class Held implements HeldJob {
  readonly #deps: DeletionJobsDeps;
  readonly #inOrder = createKeyedQueue();
  #job: DeletionJob;
  #revision: number;
  isLost = false;

  constructor(deps: DeletionJobsDeps, job: DeletionJob, revision: number) {
    this.#deps = deps;
    this.#job = job;
    this.#revision = revision;
  }

  get job(): DeletionJob {
    return this.#job;
  }

  change(by: { readonly [K in keyof DeletionJob]?: DeletionJob[K] | undefined }): Promise<boolean> {
    return this.#inOrder("job", async () => {
      if (this.isLost) return false;
      const { bus, nextWriteId } = this.#deps;
      const next = withoutAbsent({
        ...this.#job,
        ...by,
        beat: this.#job.heartbeat + 1,
        writeId: nextWriteId(),
      });
      const revision = await bus.kv.update(deletionJobs, next, this.#revision);
      this.isLost = revision === undefined;
      if (revision === undefined) return false;
      this.#job = next;
      this.#revision = revision;
      return true;
    });
  }
}

/** A field that is set to undefined is gone. */
const withoutAbsent = (job: object): DeletionJob =>
  Object.fromEntries(Object.entries(job).filter(([, value]) => value !== undefined)) as DeletionJob;
