// Invariants of tasks, phone calls and call records, in worlds that have them; shared with the chaos run.

import { dailyKpis, launches, tasks, usageReports } from "../../../libs/contracts/buckets.ts";
import { DEFAULT_TENANT, sessionKey } from "../../../libs/contracts/ids.ts";
import { calls } from "../../../libs/contracts/streams.ts";
import { isTaskEnd, type TaskRecord } from "../../../libs/contracts/tasks/task.ts";
import { DailyKpis } from "../../../libs/domain/call/build-kpis.ts";
import { wrongCalls } from "../../full/chaos/check-calls.ts";
import { checkTasks } from "../../full/chaos/check-tasks.ts";
import type { Violation } from "../../full/chaos/evidence.ts";
import type { Caller } from "../actors/callers.ts";
import type { World } from "../world.ts";

/** 1, 2, 9, 10, 12 and 15. */
export function checkCalls(world: World, callers: readonly Caller[]): void {
  if (world.scenario.calling === undefined) return;
  const sentTasks = callers.flatMap(({ accepted, key }) =>
    accepted.map((taskId) => ({
      sentAtMs: 0,
      tenant: DEFAULT_TENANT,
      idempotencyKey: key,
      status: 202,
      taskId,
    })),
  );
  const dialed = world.vapi.calls.map(({ id, name, to, madeAtMs, status, wasAnswered }) => ({
    atMs: madeAtMs,
    id,
    name,
    to,
    wasAnswered,
    isLive: status !== "ended",
  }));
  const remains = { ...stored(world), tasks: storedTasks(world), dialed };
  for (const { invariant, what } of [...checkTasks({ sentTasks, remains }), ...wrongCallRecords(world)])
    world.trace.violation(invariant, what);
  for (const { state, attempt } of remains.tasks) {
    world.coverage.count("tasks");
    world.coverage.count("attempts of tasks", attempt);
    world.coverage.count(`tasks: ${state}`);
  }
  world.coverage.count("call records", world.server.stored(calls).length);
}

/** Whether tasks, phone calls or call records are still in progress, so that it is too early to check the world. */
export function isBehind(world: World): boolean {
  if (world.scenario.calling === undefined) return false;
  return (
    storedTasks(world).some(({ state }) => !isTaskEnd(state)) ||
    world.vapi.live().length > 0 ||
    wrongCallRecords(world).length > 0
  );
}

export const storedTasks = (world: World): TaskRecord[] =>
  world.server.entries(tasks).map(({ value }) => value);

const stored = (world: World) => ({
  records: world.records(),
  launches: world.server.entries(launches).map(({ value }) => value),
});

/** 12: the call record of each ended session, and the KPIs of each day. */
function wrongCallRecords(world: World): Violation[] {
  if (world.options.clocks !== undefined) return [];
  const remains = {
    ...stored(world),
    reports: world.server.entries(usageReports).map(({ value }) => value),
    calls: world.server.stored(calls).map(({ message }) => message),
  };
  const over = new Set(
    remains.records.flatMap(({ tenant, sessionId: id, state }) =>
      state === "ended" ? [sessionKey({ tenant, sessionId: id })] : [],
    ),
  );
  return [...wrongCalls(remains, over), ...wrongKpis(world)];
}

function wrongKpis(world: World): Violation[] {
  const counted = new DailyKpis();
  for (const { message } of world.server.stored(calls)) counted.add(message);
  const wanted = new Map(counted.all().map((kpi) => [dailyKpis.keyOf(kpi), textOf(kpi)]));
  const found = new Map(world.server.entries(dailyKpis).map(({ key, value }) => [key, textOf(value)]));
  const keys = [...new Set([...wanted.keys(), ...found.keys()])];
  return keys
    .filter((key) => wanted.get(key) !== found.get(key))
    .map((key) => ({
      invariant: 12,
      what: `the KPIs ${key} are ${found.get(key)}, but the calls give ${wanted.get(key)}`,
    }));
}

const textOf = (kpi: unknown): string => JSON.stringify(dailyKpis.schema.parse(kpi));
