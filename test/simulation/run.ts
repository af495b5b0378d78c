// One simulated run: the world of a seed is broken for a while, healed, and checked.
import { conversations } from "../../libs/contracts/buckets.ts";
import { isTaskEnd } from "../../libs/contracts/tasks/task.ts";
import { sleep } from "../../libs/runtime/clock.ts";
import { forkRandom } from "../kit/random.ts";
import { Caller } from "./actors/callers.ts";
import { Chaos } from "./actors/chaos.ts";
import { Client } from "./actors/clients.ts";
import { Forger } from "./actors/forger.ts";
import { checkCalls, isBehind, storedTasks } from "./checks/check-calls.ts";
import { checkLaunches, checkOver } from "./checks/check-launches.ts";
import { checkRecords } from "./checks/check-records.ts";
import { checkRollups } from "./checks/check-rollups.ts";
import {
  checkAccepted,
  checkAlone,
  checkDeadlines,
  checkDecided,
  checkNothingLeft,
  checkNothingStuck,
  isDecided,
  leftovers,
  starving,
} from "./checks/check-world.ts";
import type { Violation } from "./trace.ts";
import { World, type WorldOptions } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Equal for two runs only if they went the same way. */
  readonly digest: string;
  /** What became of each session, in words. */
  readonly sessions: readonly string[];
  readonly lines: readonly string[];
  readonly virtualMs: number;
  readonly world: World;
}

/** By then the first agents are warm. */
const WARM_UP_MS = 1500;
const SETTLE_MS = 30_000;
/** From the end of the last session to when nothing may be left of it. */
const CLEAN_UP_MS = 30_000;
/** For what comes late: a message whose ack was lost comes again after five seconds. */
const QUIET_MS = 6000;
/** A lost call ends by its time-out of 5 s, and a host looks at its records every 2 s. */
const RECOVERY_MS = 7000;
/** The providers service retries within 10 s, and takes over what another instance left after 6 s of silence. */
const CONNECTED_RECOVERY_MS = 16_000;
/** An agent that was free for so long was overlooked. */
const STARVED_MS = 5000;
const LOOK_MS = 250;

export async function runSeed(seed: number, options: WorldOptions = {}): Promise<Outcome> {
  const world = new World(seed, options);
  const { clock, scenario, trace } = world;
  const forger = new Forger(world, forkRandom(seed, "forger"));
  const clients = Array.from({ length: scenario.clients }, (_, index) => new Client(world, index + 1));
  world.boot();
  await clock.advance(WARM_UP_MS);
  world.break();
  void new Chaos(world, forger).run();
  for (const client of clients) void client.live();
  const callers = Array.from(
    { length: scenario.calling?.callers ?? 0 },
    (_, index) => new Caller(world, index + 1),
  );
  for (const caller of callers) void caller.live();
  await clock.advance(scenario.chaosMs);

  world.heal();
  await settle(world);
  checkDecided(world);
  checkAlone(world);
  checkOver(world);
  checkAccepted(world, clients);

  trace.note("world", "everybody leaves");
  void endAll(world, clients, callers);
  await comeToAnEnd(world);
  await clock.advance(QUIET_MS);
  await comeToAnEnd(world);
  checkAllEnded(world);
  checkNothingLeft(world);
  checkNothingStuck(world);
  checkDeadlines(world);
  checkRecords(world);
  checkRollups(world);
  checkLaunches(world);
  checkCalls(world, callers);
  world.conversations.check(world.server.written(conversations));
  world.facts.endOverlaps();
  for (const record of world.records()) world.coverage.session(record);
  world.coverage.add(world.server.faultCounts(), "bus: ");
  world.coverage.count(`replicas: ${scenario.replicas}`);
  const virtualMs = clock.monotonic();
  world.end();
  return {
    seed,
    violations: trace.violations,
    digest: trace.digest(),
    sessions: describeSessions(world),
    lines: trace.lines,
    virtualMs,
    world,
  };
}

/** Lets the world come to rest after its faults; a session that waits for an agent has its own deadline. */
async function settle(world: World): Promise<void> {
  const { clock, facts, scenario } = world;
  const recoveryMs = scenario.outside === undefined ? RECOVERY_MS : CONNECTED_RECOVERY_MS;
  clock.after(recoveryMs, () => {
    facts.calmSinceMs = clock.monotonic();
  });
  const starvedSince = new Map<string, number>();
  const isAtRest = () => {
    lookForStarving(world, starvedSince);
    return facts.calmSinceMs !== undefined && world.records().every((record) => isDecided(world, record));
  };
  if (await lookUntil(world, isAtRest, SETTLE_MS)) return;
  const waits = () => world.records().some(({ state }) => state === "requested");
  if (waits()) await lookUntil(world, isAtRest, scenario.deadlineMs.requested + SETTLE_MS);
}

function lookForStarving(world: World, since: Map<string, number>): void {
  // Until then calls to LiveKit that were lost keep the agents that they were made for.
  if (world.facts.calmSinceMs === undefined) return;
  const now = world.clock.monotonic();
  const ids = starving(world);
  for (const id of since.keys()) if (!ids.includes(id)) since.delete(id);
  for (const id of ids) {
    const sinceMs = since.get(id) ?? now;
    since.set(id, sinceMs);
    if (now - sinceMs < STARVED_MS) continue;
    since.set(id, Number.POSITIVE_INFINITY);
    const name = world.trace.nameOf(id);
    world.trace.violation(2, `${name} waits although agents have been free for ${STARVED_MS} ms`);
  }
}

/** A request that was stored late may bring a session into being while everybody leaves; it ends too. */
async function endAll(world: World, clients: readonly Client[], callers: readonly Caller[]): Promise<void> {
  const asked = new Set<string>();
  for (;;) {
    for (const { taskId: id, state } of storedTasks(world)) {
      if (isTaskEnd(state) || asked.has(id)) continue;
      asked.add(id);
      void callers.find(({ taskId }) => taskId === id)?.cancel();
    }
    for (const { sessionId: id, state } of world.records()) {
      if (state === "ended" || asked.has(id)) continue;
      asked.add(id);
      void clients.find(({ sessionId }) => sessionId === id)?.end();
    }
    await sleep(world.clock, 100);
  }
}

async function comeToAnEnd(world: World): Promise<void> {
  await lookUntil(world, () => world.records().every(({ state }) => state === "ended"), SETTLE_MS);
  await lookUntil(world, () => leftovers(world).length === 0 && !isBehind(world), CLEAN_UP_MS);
}

function checkAllEnded(world: World): void {
  for (const { sessionId: id, state, attempt } of world.records()) {
    if (state !== "ended")
      world.trace.violation(
        2,
        `${world.trace.nameOf(id)}#${attempt} is ${state} although its end was asked for`,
      );
  }
}

async function lookUntil(world: World, isReached: () => boolean, maxMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs <= maxMs; waitedMs += LOOK_MS) {
    if (isReached()) return true;
    await world.clock.advance(LOOK_MS);
  }
  return isReached();
}

const describeSessions = (world: World): string[] =>
  world
    .records()
    .sort((a, b) => world.trace.nameOf(a.sessionId).localeCompare(world.trace.nameOf(b.sessionId)))
    .map((record) => {
      const way = record.history
        .map(({ state, attempt, host }) => `${state}#${attempt}${host === undefined ? "" : `@${host}`}`)
        .join(" ");
      return `${world.trace.nameOf(record.sessionId)}: ${record.state} ${record.endedReason ?? ""}: ${way}`;
    });
