// Invariants of launches: the intent comes before the request, one request an attempt, an ordered history, an end.

import { launches } from "../../../libs/contracts/buckets.ts";
import { agentIdentityOf, attemptKey } from "../../../libs/contracts/ids.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { SimDispatches } from "../livekit/sim-agent-dispatch.ts";
import type { MadeFor } from "../livekit/sim-job.ts";
import type { SimWorkers } from "../livekit/sim-workers.ts";
import type { MemoryServer } from "../nats/memory-server.ts";
import type { Trace } from "../trace.ts";
import type { Coverage } from "./coverage.ts";
import type { Facts } from "./facts.ts";

export interface LaunchWorld {
  readonly server: MemoryServer;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly facts: Facts;
  readonly dispatches: SimDispatches;
  readonly workers: SimWorkers;
  records(): SessionRecord[];
}

/**
 * Called when a provider is about to create a dispatch. A job that has not joined yet and whose dispatch
 * LiveKit has lost in a restart is exempt, because no service can know about it.
 */
export function checkDispatch(world: LaunchWorld, { tenant, sessionId, attempt }: MadeFor): void {
  const key = attemptKey({ tenant, sessionId, attempt });
  const name = `${world.trace.nameOf(sessionId)}#${attempt}`;
  world.trace.note("workers", `get a dispatch for ${name}`);
  world.coverage.count("launches: requested");
  if (!world.server.written(launches).some((write) => write.key === key && write.value !== undefined))
    world.trace.violation("persist before acting", `${name} is launched without a saved intent`);
  const isSame = (other: MadeFor) => other.sessionId === sessionId && other.attempt === attempt;
  const isThere =
    world.dispatches.all().some(({ madeFor }) => isSame(madeFor)) ||
    world.workers.jobs().some(({ dispatch, guest }) => guest !== undefined && isSame(dispatch.madeFor));
  if (isThere) world.trace.violation("launch once", `${name} is launched twice`);
}

/** 9: the provider keeps nothing of a launch that is over, even while its session continues. */
export function checkOver(world: LaunchWorld): void {
  const over = new Set(
    world.server.entries(launches).flatMap(({ key, value }) => (value.state === "over" ? [key] : [])),
  );
  for (const { id, madeFor } of world.dispatches.all()) {
    if (!over.has(attemptKey(madeFor))) continue;
    world.trace.violation(
      9,
      `the dispatch ${id} of ${nameOf(world, madeFor)} exists although its launch is over`,
    );
  }
}

/** Checks the whole history of each launch and counts its states. */
export function checkLaunches(world: LaunchWorld): void {
  const byKey = new Map<string, LaunchRecord[]>();
  for (const { key, value } of world.server.written(launches)) {
    if (value !== undefined) byKey.set(key, [...(byKey.get(key) ?? []), value]);
  }
  for (const [key, revisions] of byKey) {
    world.coverage.count("launches");
    let before: LaunchRecord | undefined;
    for (const launch of revisions) {
      for (const fault of faultsOf(before, launch))
        world.trace.violation("launch", `${nameOf(world, launch)} ${fault} (${key})`);
      const identity = launch.identity ?? agentIdentityOf(launch);
      if (launch.state === "ready" && !world.facts.hasReportedReady(identity))
        world.trace.violation(8, `${nameOf(world, launch)} is ready, but its agent never reported ready`);
      if (launch.state !== before?.state) world.coverage.count(`launches: ${launch.state}`);
      if (launch.takeovers > (before?.takeovers ?? 0)) world.coverage.count("launches: taken over");
      before = launch;
    }
  }
}

const order = ["intended", "launched", "joined", "ready", "unknown", "over"] as const;

/** The faults of a change: launches only move forward, `over` is final, and a new writer must take over first. */
function faultsOf(before: LaunchRecord | undefined, after: LaunchRecord): string[] {
  if (before === undefined)
    return after.state === "intended" && after.takeovers === 0 ? [] : [`starts as ${after.state}`];
  const faults: string[] = [];
  if (before.state === "over") faults.push("changes after its end");
  if (order.indexOf(after.state) < order.indexOf(before.state))
    faults.push(`goes from ${before.state} to ${after.state}`);
  const isTakeover = after.takeovers === before.takeovers + 1 && after.state === before.state;
  if (after.takeovers !== before.takeovers && !isTakeover)
    faults.push(`has ${after.takeovers} takeovers after ${before.takeovers}`);
  if (after.by !== before.by && !isTakeover)
    faults.push(`is written by ${after.by}, but ${before.by} owns it`);
  return faults;
}

/** The remains of ended sessions: launches that have not ended, dispatches, and jobs. */
export function leftLaunches(world: LaunchWorld): string[] {
  const ended = new Set(
    world.records().flatMap(({ sessionId: id, state }) => (state === "ended" ? [id] : [])),
  );
  const records = world.server
    .entries(launches)
    .flatMap(({ value }) =>
      value.state !== "over" && !isUnknowable(value) && ended.has(value.sessionId)
        ? [`the launch of ${nameOf(world, value)}, ${value.state} by ${value.by},`]
        : [],
    );
  const dispatches = world.dispatches
    .all()
    .flatMap(({ id, madeFor }) =>
      ended.has(madeFor.sessionId) ? [`the dispatch ${id} of ${nameOf(world, madeFor)}`] : [],
    );
  const jobs = world.workers
    .jobs()
    .flatMap(({ id, dispatch }) =>
      ended.has(dispatch.madeFor.sessionId) ? [`the job ${id} of ${nameOf(world, dispatch.madeFor)}`] : [],
    );
  return [...records, ...dispatches, ...jobs];
}

/** Whether the outcome of a phone call stays unknown, because no process asked for it in time. */
const isUnknowable = ({ provider, state }: LaunchRecord): boolean =>
  provider === "vapi" && state === "unknown";

const nameOf = (world: LaunchWorld, { sessionId, attempt }: { sessionId: string; attempt: number }): string =>
  `${world.trace.nameOf(sessionId)}#${attempt}`;
