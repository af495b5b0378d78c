// Planted bugs in the handling of phone calls by the services tasks, calls and providers.

import { tasks } from "../../../libs/contracts/buckets.ts";
import { calls } from "../../../libs/contracts/streams.ts";
import type { TaskRecord } from "../../../libs/contracts/tasks/task.ts";
import { busOf, type Plant } from "./plant.ts";

const some: readonly Omit<Plant, "worlds">[] = [
  {
    name: "a call whose answer was lost is made twice",
    breaks: [15],
    provider: (provider) => ({
      ...provider,
      launch: async (order) => {
        const launched = await provider.launch(order);
        return launched.is === "unconfirmed" ? provider.launch(order) : launched;
      },
    }),
  },
  {
    name: "a phone call isn't hung up when its session has ended",
    breaks: [9],
    provider: (provider) =>
      provider.name === "vapi" ? { ...provider, end: async () => undefined } : provider,
  },
  {
    name: "the tasks service forgets which attempt it granted a call slot to",
    breaks: [2, 10, 15],
    bus: busOf("tasks", (bus) => ({
      kv: {
        update: (bucket, value, revision) => {
          if (bucket.name !== tasks.name) return bus.kv.update(bucket, value, revision);
          const task = value as TaskRecord;
          const isSecond = task.attempt === 2 && task.state === "dialing";
          const forgetful = isSecond ? { ...task, attempts: task.attempts.slice(1) } : task;
          return bus.kv.update(bucket, forgetful as typeof value, revision);
        },
      },
    })),
  },
  {
    name: "the calls service counts a session as recorded before its call is stored",
    breaks: [12],
    bus: busOf("calls", (bus) => ({
      streams: {
        publish: (channel, message) =>
          channel.stream === calls.stream
            ? bus.streams.publish(channel, message).catch(() => ({ duplicate: false }))
            : bus.streams.publish(channel, message),
      },
    })),
  },
];

export const callingPlants: readonly Plant[] = some.map((plant) => ({ ...plant, worlds: "calling" }));
