// One look at everything that could grow: processes, NATS, LiveKit's rooms, the fleet.
import { readdirSync, readFileSync } from "node:fs";
import { z } from "zod";
import type { Rooms } from "../../../libs/livekit/rooms.ts";
import type { Json, Stack } from "../../kit/stack/stack.ts";

export interface Watched {
  readonly stack: Stack;
  /** Undefined with simulated rooms. */
  readonly rooms: Rooms | undefined;
}

/** Values by the name of their series. */
export type Sample = Record<string, number>;

const Jsz = z.object({
  account_details: z
    .array(
      z.object({
        stream_detail: z
          .array(
            z.object({
              name: z.string(),
              state: z.object({
                messages: z.number(),
                bytes: z.number(),
                num_subjects: z.number().optional(),
                consumer_count: z.number(),
              }),
            }),
          )
          .optional(),
      }),
    )
    .optional(),
});
const Varz = z.object({ subscriptions: z.number(), connections: z.number() });

export async function takeSample({ stack, rooms }: Watched): Promise<Sample> {
  const sample: Sample = {};
  const hosts: Json[] = (await stack.get("/api/hosts")).body.hosts;
  const stages: Json[] = hosts.flatMap((host) => host.processes);
  const processes: [string, number][] = [
    ...stack.children
      .filter(({ hasEnded }) => !hasEnded)
      .map(({ name, pid }): [string, number] => [name, pid]),
    ["nats-server", stack.nats.pid],
    ...(stack.livekit === undefined ? [] : ([["livekit-server", stack.livekit.pid]] as [string, number][])),
  ];
  for (const [name, pid] of processes) Object.assign(sample, processSample(name, pid));
  // Stages come and go, so what counts is what all of them take together.
  for (const { profile, pid } of stages) {
    if (pid === undefined) continue;
    for (const [name, value] of Object.entries(processSample(`stages of ${profile}`, pid)))
      sample[name] = (sample[name] ?? 0) + value;
    sample[`stages of ${profile}`] = (sample[`stages of ${profile}`] ?? 0) + 1;
  }

  const slots: Json[] = stages.flatMap((stage) => stage.slots);
  sample["slots: all"] = slots.length;
  sample["slots: busy"] = slots.filter(({ state }) => state === "busy").length;
  const { sessions } = (await stack.get("/api/health")).body;
  sample["sessions: live"] = sessions.total;
  if (rooms !== undefined) sample["livekit: rooms"] = (await rooms.list()).length;
  Object.assign(sample, await natsSample(stack.nats.monitorUrl));
  const began = performance.now();
  await stack.get("/livez");
  sample["gateway: answer to /livez, ms"] = performance.now() - began;
  return sample;
}

/** Memory in MB, threads and open files of one process; nothing when it has just ended. Linux only. */
export function processSample(name: string, pid: number): Sample {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(status)?.[1]);
    return {
      [`${name}: memory, MB`]: field("VmRSS") / 1024,
      [`${name}: threads`]: field("Threads"),
      [`${name}: open files`]: readdirSync(`/proc/${pid}/fd`).length,
    };
  } catch {
    return {};
  }
}

async function natsSample(monitorUrl: string): Promise<Sample> {
  const sample: Sample = {};
  const jsz = Jsz.parse(await (await fetch(`${monitorUrl}/jsz?streams=true`)).json());
  const streams = jsz.account_details?.flatMap(({ stream_detail }) => stream_detail ?? []) ?? [];
  let consumers = 0;
  for (const { name, state } of streams) {
    consumers += state.consumer_count;
    sample[`stream ${name}: messages`] = state.messages;
    sample[`stream ${name}: MB`] = state.bytes / 1024 ** 2;
    if (name.startsWith("KV_")) sample[`stream ${name}: keys`] = state.num_subjects ?? 0;
  }
  sample["nats: consumers"] = consumers;
  const varz = Varz.parse(await (await fetch(`${monitorUrl}/varz`)).json());
  sample["nats: subscriptions"] = varz.subscriptions;
  sample["nats: connections"] = varz.connections;
  return sample;
}

/** What a series may rise by before anybody asks why: caches and collectors of garbage breathe. */
export function floorOf(name: string): number {
  // By about as much a stage grows before it is replaced, again and again: without that, a run's calls are twice that.
  if (name.startsWith("stages of") && name.endsWith("memory, MB")) return 100;
  if (name.endsWith("memory, MB")) return 12;
  if (name.endsWith(": MB")) return 1;
  if (name.endsWith("ms")) return 20;
  if (name.endsWith("messages") || name.endsWith("keys")) return 40;
  return 3;
}
