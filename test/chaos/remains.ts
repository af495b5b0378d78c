// What is there when a chaos run is over, and whether it is what should be there.

import { connect } from "nats";
import type { Bus } from "../../libs/bus/bus.ts";
import { allBuckets, conversations, hosts, rollups, sessions } from "../../libs/contracts/buckets.ts";
import { deadLetters, reliefEvents, sessionEvents } from "../../libs/contracts/channels.ts";
import { STANDBY_PREFIX } from "../../libs/contracts/ids.ts";
import type { Rooms } from "../../libs/livekit/rooms.ts";
import type { Remains, RunMs } from "./evidence.ts";
import { isStage, programOf } from "./processes.ts";
import type { World } from "./world.ts";

interface Sources {
  readonly world: World;
  readonly bus: Bus;
  readonly rooms: Rooms;
  readonly now: () => RunMs;
}

const LETTERS = 1000;

export async function collectRemains({ world, bus, rooms, now }: Sources): Promise<Remains> {
  const registered = (await bus.list(hosts)).map(({ value }) => value);
  return {
    atMs: now(),
    records: (await bus.list(sessions)).map(({ value }) => value),
    rooms: (await rooms.list()).map(({ name }) => name),
    hosts: registered,
    strayProcesses: strays(world, registered),
    consumers: await durableConsumers(world),
    deadLetters: (await bus.page(deadLetters, { limit: LETTERS })).map(({ message }) => message),
    rollups: (await bus.list(rollups)).map(({ value }) => value),
    conversations: (await bus.list(conversations)).map(({ key }) => key),
  };
}

/** What still has to go before the run may be judged; empty when nothing has. */
export function whatIsLeft(remains: Remains): string[] {
  const slots = remains.hosts.flatMap(({ stages }) => stages.flatMap((stage) => stage.slots));
  const standby = new Set(slots.map(({ id }) => STANDBY_PREFIX + id));
  return [
    ...remains.records.filter(({ state }) => state !== "ended").map(({ id }) => `session ${id}`),
    ...remains.rooms.filter((name) => !standby.has(name)).map((name) => `room ${name}`),
    ...slots.filter(({ session }) => session !== undefined).map(({ session }) => `slot of ${session}`),
    ...remains.strayProcesses,
    ...remains.conversations.map((key) => `conversation ${key}`),
    ...remains.consumers
      .filter(({ pending, ackPending }) => pending + ackPending > 0)
      .map(({ stream, name, pending, ackPending }) => `${stream} > ${name}: ${pending} and ${ackPending}`),
  ];
}

/** Processes that outlived who started them, and stages that no host knows. */
function strays(world: World, registered: Remains["hosts"]): string[] {
  const known = new Set(registered.flatMap(({ stages }) => stages.flatMap(({ pid }) => pid ?? [])));
  const unknown = world.processes().filter((pid) => isStage(pid) && !known.has(pid));
  return [...new Set([...world.orphans(), ...unknown])].map((pid) => `process ${pid} (${programOf(pid)})`);
}

async function durableConsumers(world: World): Promise<Remains["consumers"]> {
  const connection = await connect({ servers: world.cluster.url.split(","), timeout: 5000 });
  try {
    const manager = await connection.jetstreamManager({ checkAPI: false, timeout: 5000 });
    const streams = [
      sessionEvents.stream,
      reliefEvents.stream,
      ...allBuckets.map(({ name }) => `KV_${name}`),
    ];
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
