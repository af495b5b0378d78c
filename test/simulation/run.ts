// A simulated run: breaks the world of a seed for a while, heals it, and checks its invariants.
import { conversations } from "../../libs/contracts/buckets.ts";
import { isTaskEnd } from "../../libs/contracts/tasks/task.ts";
import { sleep } from "../../libs/runtime/clock.ts";
import { forkRandom } from "../kit/random.ts";
import { Caller } from "./actors/callers.ts";
import { Chaos } from "./actors/chaos.ts";
import { Client } from "./actors/clients.ts";
import { Forger } from "./actors/forger.ts";
import { checkCanaries, setCanaries } from "./actors/operator.ts";
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
  /** Equal for two runs only if their traces are equal. */
  readonly digest: string;
  /** A printable history of each session. */
  readonly sessions: readonly string[];
  readonly lines: readonly string[];
  readonly virtualMs: number;
  readonly world: World;
}

/** The time until the first agents are warm. */
const WARM_UP_MS = 1500;
const RECOVERY_LIMIT_MS = 30_000;
/** The time after the last session's end within which its remains must be gone. */
const CLEAN_UP_MS = 30_000;
/** The time for late messages: a message whose ack was lost is redelivered after five seconds. */
const QUIET_MS = 6000;
/** A lost API call times out after 5 s, and a host rereads its records every 2 s. */
const RECOVERY_MS = 7000;
/** The providers service retries within 10 s, and takes over another instance's launches after 6 s of silence. */
const CONNECTED_RECOVERY_MS = 16_000;
/** A session must get a free agent within this time. */
const STARVATION_MS = 5000;
const POLL_MS = 250;

export async function runSeed(seed: number, options: WorldOptions = {}): Promise<Outcome> {
  const world = new World(seed, options);
  const { clock, scenario, trace } = world;
  const forger = new Forger(world, forkRandom(seed, "forger"));
  const clients = Array.from({ length: scenario.clients }, (_, index) => new Client(world, index + 1));
  world.boot();
  void setCanaries(world);
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
  await awaitRecovery(world);
  checkDecided(world);
  checkAlone(world);
  checkOver(world);
  checkAccepted(world, clients);

  trace.note("world", "all sessions are ended");
  void endAll(world, clients, callers);
  await awaitEnd(world);
  await clock.advance(QUIET_MS);
  await awaitEnd(world);
  checkAllEnded(world);
  checkNothingLeft(world);
  checkNothingStuck(world);
  checkDeadlines(world);
  checkRecords(world);
  checkRollups(world);
  checkLaunches(world);
  checkCalls(world, callers);
  checkCanaries(world);
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

/** Waits until the world has recovered from its faults; a session that waits for capacity has its own deadline. */
async function awaitRecovery(world: World): Promise<void> {
  const { clock, facts, scenario } = world;
  const recoveryMs = scenario.outside === undefined ? RECOVERY_MS : CONNECTED_RECOVERY_MS;
  clock.after(recoveryMs, () => {
    facts.calmSinceMs = clock.monotonic();
  });
  const starvedSince = new Map<string, number>();
  const isRecovered = () => {
    checkStarvation(world, starvedSince);
    return facts.calmSinceMs !== undefined && world.records().every((record) => isDecided(world, record));
  };
  if (await pollUntil(world, isRecovered, RECOVERY_LIMIT_MS)) return;
  const anyWaits = () => world.records().some(({ state }) => state === "requested");
  if (anyWaits()) await pollUntil(world, isRecovered, scenario.deadlineMs.requested + RECOVERY_LIMIT_MS);
}

function checkStarvation(world: World, since: Map<string, number>): void {
  // Before the recovery, lost calls to LiveKit still occupy their agents.
  if (world.facts.calmSinceMs === undefined) return;
  const now = world.clock.monotonic();
  const ids = starving(world);
  for (const id of since.keys()) if (!ids.includes(id)) since.delete(id);
  for (const id of ids) {
    const sinceMs = since.get(id) ?? now;
    since.set(id, sinceMs);
    if (now - sinceMs < STARVATION_MS) continue;
    since.set(id, Number.POSITIVE_INFINITY);
    const name = world.trace.nameOf(id);
    world.trace.violation(2, `${name} waits although an agent has been free for ${STARVATION_MS} ms`);
  }
}

/** Ends all sessions, including those that a late request creates in the meantime. */
async function endAll(world: World, clients: readonly Client[], callers: readonly Caller[]): Promise<void> {
  const requested = new Set<string>();
  for (;;) {
    for (const { taskId: id, state } of storedTasks(world)) {
      if (isTaskEnd(state) || requested.has(id)) continue;
      requested.add(id);
      void callers.find(({ taskId }) => taskId === id)?.cancel();
    }
    for (const { sessionId: id, state } of world.records()) {
      if (state === "ended" || requested.has(id)) continue;
      requested.add(id);
      void clients.find(({ sessionId }) => sessionId === id)?.end();
    }
    await sleep(world.clock, 100);
  }
}

async function awaitEnd(world: World): Promise<void> {
  await pollUntil(world, () => world.records().every(({ state }) => state === "ended"), RECOVERY_LIMIT_MS);
  await pollUntil(world, () => leftovers(world).length === 0 && !isBehind(world), CLEAN_UP_MS);
}

function checkAllEnded(world: World): void {
  for (const { sessionId: id, state, attempt } of world.records()) {
    if (state !== "ended")
      world.trace.violation(
        2,
        `${world.trace.nameOf(id)}#${attempt} is ${state} although its end was requested`,
      );
  }
}

async function pollUntil(world: World, isReached: () => boolean, maxMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs <= maxMs; waitedMs += POLL_MS) {
    if (isReached()) return true;
    await world.clock.advance(POLL_MS);
  }
  return isReached();
}

const describeSessions = (world: World): string[] =>
  world
    .records()
    .sort((a, b) => world.trace.nameOf(a.sessionId).localeCompare(world.trace.nameOf(b.sessionId)))
    .map((record) => {
      const history = record.history
        .map(({ state, attempt, host }) => `${state}#${attempt}${host === undefined ? "" : `@${host}`}`)
        .join(" ");
      return `${world.trace.nameOf(record.sessionId)}: ${record.state} ${record.endedReason ?? ""}: ${history}`;
    });
