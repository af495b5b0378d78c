// Executes a deletion: ends what runs, deletes the data from every store, and repeats until nothing is found.
import type { Bus } from "../../libs/bus/bus.ts";
import type { Lease } from "../../libs/bus/lease.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { sessions, tasks, webhookEndpoints } from "../../libs/contracts/buckets.ts";
import { dayOf } from "../../libs/contracts/calls/call.ts";
import { type DeletionJob, FOUND_MAX } from "../../libs/contracts/privacy/deletion.ts";
import { calls, sessionEvents, taskEvents, webhooksQueued } from "../../libs/contracts/streams.ts";
import { isTaskEnd } from "../../libs/contracts/tasks/task.ts";
import { type Clock, isoNow, sleep } from "../../libs/runtime/clock.ts";
import { type MessageRule, type Scope, type StoreRule, storeName, storeRules } from "./data-map.ts";
import { type Found, findParts } from "./find-scope.ts";

export interface RunDeletionDeps extends ServiceDeps {
  /** The wait for late writes before the next pass, in ms. */
  readonly settleMs: number;
}

/** A field that is set to undefined is removed. @returns false when the job must not be continued */
export const change = (
  lease: Lease<DeletionJob>,
  by: { readonly [K in keyof DeletionJob]?: DeletionJob[K] | undefined },
): Promise<boolean> => lease.save((job) => ({ ...job, ...by }) as DeletionJob);

export type DeletionResult = "done" | "failed" | "lost";

/** How often to check whether sessions and tasks have ended. */
const POLL_MS = 1000;
/** A tenant that keeps writing is never empty. */
const PASSES_MAX = 100;
const PAGE = 500;
const DAY_MS = 24 * 60 * 60 * 1000;
/** The most days for which call records exist. */
const CALL_DAYS = calls.maxAgeMs / DAY_MS + 1;

/** Passes through all stores until two passes in a row find nothing, since a write may finish after a pass. */
export async function runDeletion(
  deps: RunDeletionDeps,
  lease: Lease<DeletionJob>,
  isStopped: () => boolean,
): Promise<DeletionResult> {
  const { bus, clock } = deps;
  const job = lease.record;
  const found: Found = { sessions: new Set(job.found ?? []), tasks: new Set(job.found ?? []) };
  for (let pass = job.passes + 1, isClean = false; ; pass++) {
    if (pass > PASSES_MAX) return (await change(lease, tooLong(clock))) ? "failed" : "lost";
    if (job.kind !== "tenant") await findParts(bus, job, found);
    const ended = await endWhatRuns(deps, lease, found, isStopped);
    if (ended !== "ended") return ended;
    const scope = scopeOf(job, found);
    const removed = await emptyAll(deps, lease, scope, isStopped);
    if (removed === undefined) return "lost";
    if (!(await change(lease, { passes: pass, ...foundIn(job, found) }))) return "lost";
    // Nothing more is written about sessions that ended long ago.
    if (job.kind === "retention" || (removed === 0 && isClean)) return "done";
    isClean = removed === 0;
    await sleep(clock, deps.settleMs);
    if (isStopped()) return "lost";
  }
}

const tooLong = (clock: Clock): Partial<DeletionJob> => ({
  state: "failed",
  finishedAt: isoNow(clock),
  reason: `New data appeared even in pass ${PASSES_MAX}. Stop the clients of this tenant, then request the deletion again.`,
});

function scopeOf({ tenant, kind, user }: DeletionJob, found: Found): Scope {
  if (kind === "tenant") return { tenant };
  return { tenant, parts: { ...found, ...(user === undefined ? {} : { user }) } };
}

function foundIn(job: DeletionJob, found: Found): Partial<DeletionJob> {
  if (job.kind === "tenant") return {};
  const ids = [...[...found.sessions].slice(0, FOUND_MAX), ...[...found.tasks].slice(0, FOUND_MAX)];
  return { sessions: found.sessions.size, tasks: found.tasks.size, found: [...new Set(ids)] };
}

/** Ends sessions, cancels tasks, and waits for them. Nothing old runs any more. */
async function endWhatRuns(
  { bus, clock, settleMs }: RunDeletionDeps,
  lease: Lease<DeletionJob>,
  found: Found,
  isStopped: () => boolean,
): Promise<"ended" | "lost"> {
  const { tenant, kind } = lease.record;
  if (kind === "retention") return "ended";
  const isMeant = (set: ReadonlySet<string>, id: string) => kind === "tenant" || set.has(id);
  const reason = "Its data are being deleted.";
  for (let requestedAtMs = Number.NEGATIVE_INFINITY; ; ) {
    const open = (await bus.kv.entries(tasks, `${tenant}.>`)).filter(
      ({ value }) => !isTaskEnd(value.state) && isMeant(found.tasks, value.taskId),
    );
    const running = (await bus.kv.entries(sessions, `${tenant}.>`)).filter(
      ({ value }) => value.state !== "ended" && isMeant(found.sessions, value.sessionId),
    );
    if (open.length + running.length === 0)
      return (await change(lease, { state: "running" })) ? "ended" : "lost";
    if (clock.monotonic() - requestedAtMs >= settleMs) {
      requestedAtMs = clock.monotonic();
      const at = isoNow(clock);
      for (const { value } of open) {
        const { taskId, attempt } = value;
        await bus.streams.publish(taskEvents, {
          type: "cancel_requested",
          tenant,
          taskId,
          at,
          attempt,
          reason,
        });
      }
      for (const { value } of running)
        await bus.streams.publish(sessionEvents, {
          type: "end_requested",
          tenant,
          sessionId: value.sessionId,
          at,
          endedReason: "completed",
          reason,
        });
    }
    const waits = `Waiting for ${running.length} sessions and ${open.length} tasks to end. Are a dispatcher and a tasks service running?`;
    if (!(await change(lease, { state: "waiting", reason: waits }))) return "lost";
    await sleep(clock, POLL_MS);
    if (isStopped()) return "lost";
  }
}

/** @returns the number of removed messages and revisions; undefined when the job must not be continued */
async function emptyAll(
  deps: RunDeletionDeps,
  lease: Lease<DeletionJob>,
  scope: Scope,
  isStopped: () => boolean,
): Promise<number | undefined> {
  let all = 0;
  for (const rule of storeRules) {
    const days = rule.store === calls ? await removeDays(deps.bus, lease.record) : 0;
    const removed = days + (await empty(deps.bus, rule, scope));
    all += removed;
    const name = storeName(rule.store);
    const counts = { ...lease.record.counts, [name]: (lease.record.counts[name] ?? 0) + removed };
    if (removed > 0 && !(await change(lease, { counts }))) return undefined;
    if (isStopped()) return undefined;
  }
  await notifyQueueOwners(deps.bus, scope);
  return all;
}

/** The owners of webhook queues hold messages that are no longer stored. */
async function notifyQueueOwners(bus: Bus, { tenant }: Scope): Promise<void> {
  for (const { value } of await bus.kv.entries(webhookEndpoints, `${tenant}.>`))
    bus.core.publishTransient(webhooksQueued, { tenant, endpoint: value.id, removed: true });
}

async function empty(bus: Bus, rule: StoreRule, scope: Scope): Promise<number> {
  const { tenant, parts } = scope;
  let removed = 0;
  const filters =
    parts === undefined
      ? (rule.ofTenant?.(tenant) ?? [])
      : [
          ...[...parts.sessions].flatMap((id) => rule.ofSession?.(tenant, id) ?? []),
          ...[...parts.tasks].flatMap((id) => rule.ofTask?.(tenant, id) ?? []),
        ];
  for (const filter of filters) removed += await bus.admin.purge(rule.store, filter);
  for (const messages of rule.messages ?? []) {
    if (parts !== undefined || messages.isForPartsOnly !== true)
      removed += await eraseMessages(bus, messages, scope);
  }
  const { records, store } = rule;
  if (parts !== undefined && records !== undefined && !("stream" in store)) {
    for (const { key, value } of await bus.kv.entries(store, `${tenant}.>`))
      if (records(value as never, scope)) removed += await bus.admin.purge(store, key);
  }
  return removed;
}

async function eraseMessages(
  bus: Bus,
  { channel, subject, isOf }: MessageRule<never>,
  scope: Scope,
): Promise<number> {
  let removed = 0;
  for (let after = 0; ; ) {
    const page = await bus.streams.read(channel, {
      subject: subject(scope.tenant),
      from: after + 1,
      limit: PAGE,
    });
    for (const { sequence, message } of page) {
      after = sequence;
      if (isOf(message, scope) && (await bus.admin.deleteMessage(channel, sequence))) removed += 1;
    }
    if (page.length < PAGE) return removed;
  }
}

/** Removes whole days of old call records by their subjects. */
async function removeDays(bus: Bus, { kind, tenant, before }: DeletionJob): Promise<number> {
  if (kind !== "retention" || before === undefined) return 0;
  let removed = 0;
  for (let day = 1; day <= CALL_DAYS; day++) {
    const old = new Date(Date.parse(before) - day * DAY_MS).toISOString();
    removed += await bus.admin.purge(calls, `call.${tenant}.${dayOf(old)}.*`);
  }
  return removed;
}
