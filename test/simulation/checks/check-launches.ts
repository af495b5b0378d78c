// What must hold of launches: the intent before the asking, one asking an attempt, a history in order, an end.

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
 * Called when a provider is about to do what it is asked for. A job that is on its way, and whose dispatch LiveKit
 * has forgotten as it was restarted, nobody can know of.
 */
export function checkDispatch(world: LaunchWorld, { tenant, sessionId, attempt }: MadeFor): void {
  const key = attemptKey({ tenant, sessionId, attempt });
  const name = `${world.trace.nameOf(sessionId)}#${attempt}`;
  world.trace.note("workers", `are asked for an agent of ${name}`);
  world.coverage.count("launches: asked");
  if (!world.server.written(launches).some((write) => write.key === key && write.value !== undefined))
    world.trace.violation("persist before acting", `${name} is launched, and no intent of it is saved`);
  const isIts = (other: MadeFor) => other.sessionId === sessionId && other.attempt === attempt;
  const isThere =
    world.dispatches.all().some(({ madeFor }) => isIts(madeFor)) ||
    world.workers.jobs().some(({ dispatch, guest }) => guest !== undefined && isIts(dispatch.madeFor));
  if (isThere) world.trace.violation("launch once", `${name} is launched although it was already`);
}

/** 9: nothing is left with the provider of a launch that is called over, though its session goes on. */
export function checkOver(world: LaunchWorld): void {
  const over = new Set(
    world.server.entries(launches).flatMap(({ key, value }) => (value.state === "over" ? [key] : [])),
  );
  for (const { id, madeFor } of world.dispatches.all()) {
    if (!over.has(attemptKey(madeFor))) continue;
    world.trace.violation(
      9,
      `the dispatch ${id} of ${nameOf(world, madeFor)} is there, and its launch is over`,
    );
  }
}

/** Each launch's whole history, and what the runs contained. */
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
      if (launch.state === "ready" && !world.facts.hasSaidReady(identity))
        world.trace.violation(8, `${nameOf(world, launch)} is ready, and its agent never said so`);
      if (launch.state !== before?.state) world.coverage.count(`launches: ${launch.state}`);
      if (launch.takeovers > (before?.takeovers ?? 0)) world.coverage.count("launches: taken over");
      before = launch;
    }
  }
}

const order = ["intended", "launched", "joined", "ready", "unknown", "over"] as const;

/** Forward only, `over` is the end, and whoever writes it has taken it up before. */
function faultsOf(before: LaunchRecord | undefined, after: LaunchRecord): string[] {
  if (before === undefined)
    return after.state === "intended" && after.takeovers === 0 ? [] : [`begins as ${after.state}`];
  const faults: string[] = [];
  if (before.state === "over") faults.push("changes after its end");
  if (order.indexOf(after.state) < order.indexOf(before.state))
    faults.push(`goes from ${before.state} to ${after.state}`);
  const isTakenUp = after.takeovers === before.takeovers + 1 && after.state === before.state;
  if (after.takeovers !== before.takeovers && !isTakenUp)
    faults.push(`is taken up ${after.takeovers} times after ${before.takeovers}`);
  if (after.by !== before.by && !isTakenUp) faults.push(`is written by ${after.by}, and ${before.by} has it`);
  return faults;
}

/** What is left of sessions that are over: launches that nobody has ended, dispatches, and agents on their way. */
export function leftLaunches(world: LaunchWorld): string[] {
  const ended = new Set(
    world.records().flatMap(({ sessionId: id, state }) => (state === "ended" ? [id] : [])),
  );
  const records = world.server
    .entries(launches)
    .flatMap(({ value }) =>
      value.state !== "over" && !isUntellable(value) && ended.has(value.sessionId)
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

/** Whether a telephone rang that nobody asked after in time. */
const isUntellable = ({ provider, state }: LaunchRecord): boolean =>
  provider === "vapi" && state === "unknown";

const nameOf = (world: LaunchWorld, { sessionId, attempt }: { sessionId: string; attempt: number }): string =>
  `${world.trace.nameOf(sessionId)}#${attempt}`;
