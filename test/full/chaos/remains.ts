// Collects everything that exists at the end of a chaos run, and lists what is still left to clean up.

import { connect } from "nats";
import type { Bus } from "../../../libs/bus/bus.ts";
import {
  allBuckets,
  conversations,
  hosts,
  launches,
  rollups,
  sessions,
  tasks,
  usageReports,
} from "../../../libs/contracts/buckets.ts";
import { type CallRecord, dayOf } from "../../../libs/contracts/calls/call.ts";
import { STANDBY_PREFIX, sessionKey } from "../../../libs/contracts/ids.ts";
import { allChannels, calls, deadLetters } from "../../../libs/contracts/streams.ts";
import { isTaskEnd } from "../../../libs/contracts/tasks/task.ts";
import type { Rooms } from "../../../libs/livekit/rooms.ts";
import { systemClock } from "../../../libs/runtime/clock.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { KpiWriter } from "../../../services/calls/kpi-writer.ts";
import type { Remains, RunMs } from "./evidence.ts";
import type { Phones } from "./phones.ts";
import { isAgentProcess, programOf } from "./processes.ts";
import type { World } from "./world.ts";

export interface Sources {
  readonly world: World;
  readonly bus: Bus;
  readonly rooms: Rooms;
  readonly phones: Phones;
  readonly now: () => RunMs;
}

const LETTERS = 1000;
const PAGE = 500;

/** The rooms without people. A room stays while somebody is in it, for example a client whose leave LiveKit has missed. */
async function desertedRooms(rooms: Rooms): Promise<string[]> {
  const all = (await rooms.list()).map(({ name }) => name);
  const people = await Promise.all(
    all.map(async (name) => (await rooms.participants(name)).some(({ isAgent }) => !isAgent)),
  );
  return all.filter((_, index) => !people[index]);
}

export async function collectRemains({ world, bus, rooms, phones, now }: Sources): Promise<Remains> {
  const registered = (await bus.kv.entries(hosts)).map(({ value }) => value);
  const recorded = await allCalls(bus);
  return {
    atMs: now(),
    records: (await bus.kv.entries(sessions)).map(({ value }) => value),
    rooms: await desertedRooms(rooms),
    hosts: registered,
    strayProcesses: strays(world, registered),
    consumers: await durableConsumers(world),
    deadLetters: (await bus.streams.read(deadLetters, { limit: LETTERS, order: "newest-first" })).map(
      ({ message }) => message,
    ),
    rollups: (await bus.kv.entries(rollups)).map(({ value }) => value),
    conversations: (await bus.kv.entries(conversations)).map(({ key }) => key),
    tasks: (await bus.kv.entries(tasks)).map(({ value }) => value),
    launches: (await bus.kv.entries(launches)).map(({ value }) => value),
    reports: (await bus.kv.entries(usageReports)).map(({ value }) => value),
    dialed: phones.dialed(),
    calls: recorded,
    falseKpis: await falseKpis(bus, recorded),
  };
}

/** Returns everything that must still be cleaned up before the run is checked. */
export function whatIsLeft(remains: Remains): string[] {
  const slots = remains.hosts.flatMap(({ processes }) => processes.flatMap((one) => one.slots));
  const standby = new Set(slots.map(({ id }) => STANDBY_PREFIX + id));
  return [
    ...remains.records.filter(({ state }) => state !== "ended").map(({ sessionId: id }) => `session ${id}`),
    ...remains.rooms.filter((name) => !standby.has(name)).map((name) => `room ${name}`),
    ...slots
      .filter(({ sessionId }) => sessionId !== undefined)
      .map(({ sessionId }) => `slot of ${sessionId}`),
    ...remains.strayProcesses,
    ...remains.conversations.map((key) => `conversation ${key}`),
    ...remains.tasks
      .filter(({ state }) => !isTaskEnd(state))
      .map(({ taskId: id, state }) => `task ${id} (${state})`),
    ...remains.dialed.filter(({ isLive }) => isLive).map(({ to }) => `call to ${to}`),
    ...unrecorded(remains).map((id) => `no call record of ${id}`),
    ...remains.falseKpis.map((key) => `key figures ${key}`),
    ...remains.consumers
      .filter(({ pending, ackPending }) => pending + ackPending > 0)
      .map(({ stream, name, pending, ackPending }) => `${stream} > ${name}: ${pending} and ${ackPending}`),
  ];
}

function unrecorded({ records, calls: recorded }: Remains): string[] {
  const known = new Set(recorded.map(({ tenant, sessionId }) => sessionKey({ tenant, sessionId })));
  const ended = records.filter(({ state }) => state === "ended");
  return ended.flatMap(({ tenant, sessionId: id }) =>
    known.has(sessionKey({ tenant, sessionId: id })) ? [] : [id],
  );
}

async function allCalls(bus: Bus): Promise<CallRecord[]> {
  const found: CallRecord[] = [];
  for (let after = 0; ; ) {
    const page = await bus.streams.read(calls, { subject: "call.*.*.*", from: after + 1, limit: PAGE });
    found.push(...page.map(({ message }) => message));
    after = page.at(-1)?.sequence ?? after;
    if (page.length < PAGE) return found;
  }
}

/** Recomputes the key figures like `npm run kpis -- --check`, and returns the keys of wrong ones. */
async function falseKpis(bus: Bus, recorded: readonly CallRecord[]): Promise<string[]> {
  const settings = { intervalMs: 1000, lookbackDays: 1 };
  const writer = new KpiWriter({ bus, clock: systemClock, log: silentLog, settings });
  const days = [...new Set(recorded.map(({ endedAt }) => dayOf(endedAt)))];
  return (await Promise.all(days.map((day) => writer.check({ tenant: "*", day })))).flat();
}

/** Processes that outlived their parents, and agent processes that no host knows. */
function strays(world: World, registered: Remains["hosts"]): string[] {
  const known = new Set(registered.flatMap(({ processes }) => processes.flatMap(({ pid }) => pid ?? [])));
  const unknown = world.processes().filter((pid) => isAgentProcess(pid) && !known.has(pid));
  return [...new Set([...world.orphans(), ...unknown])].map((pid) => `process ${pid} (${programOf(pid)})`);
}

async function durableConsumers(world: World): Promise<Remains["consumers"]> {
  const connection = await connect({ servers: world.cluster.url.split(","), timeout: 5000 });
  try {
    const manager = await connection.jetstreamManager({ checkAPI: false, timeout: 5000 });
    const streams = new Set([
      ...allChannels.map(({ stream }) => stream),
      ...allBuckets.map(({ name }) => `KV_${name}`),
    ]);
    const found: Remains["consumers"][number][] = [];
    for (const stream of streams) {
      for (const info of await manager.consumers.list(stream).next()) {
        if (info.config.durable_name === undefined) continue;
        const { name, num_pending: pending, num_ack_pending: ackPending } = info;
        found.push({ stream, name, pending, ackPending });
      }
    }
    return found;
  } finally {
    await connection.close();
  }
}
