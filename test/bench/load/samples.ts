// Samples of everything that could grow: processes, NATS, LiveKit's rooms, the fleet.
import { readdirSync, readFileSync } from "node:fs";
import { z } from "zod";
import type { Rooms } from "../../../libs/livekit/rooms.ts";
import type { Json, Stack } from "../../kit/stack/stack.ts";

export interface SampleSource {
  readonly stack: Stack;
  /** Undefined with simulated rooms. */
  readonly rooms: Rooms | undefined;
}

/** Values by the name of the series. */
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

export async function takeSample({ stack, rooms }: SampleSource): Promise<Sample> {
  const sample: Sample = {};
  const hosts: Json[] = (await stack.get("/api/hosts")).body.hosts;
  const agentProcesses: Json[] = hosts.flatMap((host) => host.processes);
  const processes: [string, number][] = [
    ...stack.children
      .filter(({ hasEnded }) => !hasEnded)
      .map(({ name, pid }): [string, number] => [name, pid]),
    ["nats-server", stack.nats.pid],
    ...(stack.livekit === undefined ? [] : ([["livekit-server", stack.livekit.pid]] as [string, number][])),
  ];
  for (const [name, pid] of processes) Object.assign(sample, processSample(name, pid));
  // Agent processes are replaced, so their values are summed for each profile.
  for (const { profile, pid } of agentProcesses) {
    if (pid === undefined) continue;
    for (const [name, value] of Object.entries(processSample(`agent processes of ${profile}`, pid)))
      sample[name] = (sample[name] ?? 0) + value;
    sample[`agent processes of ${profile}`] = (sample[`agent processes of ${profile}`] ?? 0) + 1;
  }

  const slots: Json[] = agentProcesses.flatMap((agentProcess) => agentProcess.slots);
  sample["slots: all"] = slots.length;
  sample["slots: busy"] = slots.filter(({ state }) => state === "busy").length;
  const { sessions } = (await stack.get("/api/health")).body;
  sample["sessions: live"] = sessions.total;
  if (rooms !== undefined) sample["livekit: rooms"] = (await rooms.list()).length;
  Object.assign(sample, await natsSample(stack.nats.monitorUrl));
  const startedAt = performance.now();
  await stack.get("/livez");
  sample["gateway: answer to /livez, ms"] = performance.now() - startedAt;
  return sample;
}

/** Memory in MB, threads and open files of one process; empty if the process has just ended. Linux only. */
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

/** The rise of a series that is never called growth, since caches and garbage collection fluctuate. */
export function floorOf(name: string): number {
  // An agent process grows by about this much before each replacement; without replacement, a run grows it by twice that.
  if (name.startsWith("agent processes of") && name.endsWith("memory, MB")) return 100;
  if (name.endsWith("memory, MB")) return 12;
  if (name.endsWith(": MB")) return 1;
  if (name.endsWith("ms")) return 20;
  if (name.endsWith("messages") || name.endsWith("keys")) return 40;
  return 3;
}
