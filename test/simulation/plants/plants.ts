// Planted bugs: each one is put into a simulated world, whose checks must find it.
import type { Bus } from "../../../libs/bus/bus.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { type Assign, AssignAnswer } from "../../../libs/contracts/fleet/host.ts";
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { assignCommand, sessionEvents } from "../../../libs/contracts/streams.ts";
import { commandsFor } from "../../../libs/domain/session/commands-for.ts";
import { callingPlants } from "./call-plants.ts";
import { failoverPlants } from "./failover-plants.ts";
import { busOf, type Plant, type PlantSite } from "./plant.ts";
import { providerPlants } from "./provider-plants.ts";

const isSessions = (bucket: { readonly name: string }): boolean => bucket.name === sessions.name;

const firstPlants: readonly Plant[] = [
  {
    name: "the dispatcher accepts events of any attempt as events of the current one",
    breaks: [7, 8],
    bus: busOf("dispatcher", (bus, { world }) => ({
      streams: {
        consume: (channel, options, handle) =>
          bus.streams.consume(channel, options, (message, delivery) =>
            handle(asOfNow(world, message as SessionEvent) as typeof message, delivery),
          ),
      },
    })),
  },
  {
    name: "the dispatcher acks a message before it has saved the result",
    breaks: [1, 2],
    bus: busOf("dispatcher", (bus) => ({
      streams: {
        consume: (channel, options, handle) =>
          bus.streams.consume(channel, options, async (message, delivery) => {
            void handle(message, delivery).catch(() => {});
            return "ack";
          }),
      },
    })),
  },
  {
    name: "the dispatcher assigns a session before it has saved the record",
    breaks: ["persist before acting"],
    bus: busOf("dispatcher", (bus) => ({
      kv: {
        update: async (bucket, value, revision) => {
          if (isSessions(bucket)) await assignAlready(bus, value as SessionRecord);
          return bus.kv.update(bucket, value, revision);
        },
      },
    })),
  },
  {
    name: "all attempts of a session share one identity",
    breaks: [6],
    bus: busOf("dispatcher", (bus) => ({
      core: {
        request: (command, host, request) => {
          if (command.name !== assignCommand.name) return bus.core.request(command, host, request);
          const assign = request as Assign;
          return bus.core.request(command, host, { ...request, identity: `agent-${assign.sessionId}` });
        },
      },
    })),
    livekit: (livekit, { kind }) =>
      kind !== "dispatcher"
        ? livekit
        : {
            ...livekit,
            tokens: {
              ...livekit.tokens,
              forAgent: (claims) =>
                livekit.tokens.forAgent({ ...claims, identity: claims.identity.replace(/-\d+$/, "") }),
            },
          },
  },
  {
    name: "the host treats a joined agent as ready",
    breaks: [8],
    launch: (launch) => (start, listener) =>
      launch(start, {
        ...listener,
        onMessage: (message) => {
          listener.onMessage(message);
          if (message.type === "joined") listener.onMessage({ ...message, type: "ready" });
        },
      }),
  },
  {
    name: "the host trusts an assign without ever reading the record",
    breaks: ["read before joining"],
    bus: busOf("agent-host", (bus) => {
      const assigned = new Map<string, { host: string; attempt: number; hostEpoch: number }>();
      return {
        core: {
          serve: (command, host, answer) =>
            bus.core.serve(command, host, (request) => {
              const { tenant = "", sessionId = "", attempt = 0, epoch = 0 } = request as Partial<Assign>;
              if (command.name === assignCommand.name)
                assigned.set(sessionKey({ tenant, sessionId }), { host, attempt, hostEpoch: epoch });
              return answer(request);
            }),
        },
        kv: {
          get: async (bucket, key) => {
            const entry = await bus.kv.get(bucket, key);
            const trusted = assigned.get(key);
            if (entry === undefined || !isSessions(bucket) || trusted === undefined) return entry;
            return { ...entry, value: { ...entry.value, state: "dispatched", ...trusted } };
          },
        },
      };
    }),
  },
  {
    name: "no service deletes rooms",
    breaks: [9],
    livekit: (livekit) => ({
      ...livekit,
      rooms: { ...livekit.rooms, close: async () => {}, delete: async () => {} },
    }),
  },
  {
    name: "the janitor measures deadlines by the wall clock",
    breaks: [14],
    clock: (clock, { kind, world }) => {
      if (kind !== "janitor") return clock;
      const jumpsAtMs = world.scenario.chaosMs / 2;
      const jumped = () => (world.clock.monotonic() > jumpsAtMs ? 3_600_000 : 0);
      return { ...clock, monotonic: () => clock.monotonic() + jumped() };
    },
  },
  {
    name: "the gateway stores a repeated request again",
    breaks: [10],
    bus: busOf("gateway", (bus) => ({
      streams: {
        publish: (channel, message) =>
          bus.streams.publish(
            channel.stream === sessionEvents.stream ? { ...channel, idOf: () => undefined } : channel,
            message,
          ),
      },
    })),
  },
  {
    name: "the dispatcher overwrites a concurrent write",
    breaks: [3, 4, 7],
    bus: busOf("dispatcher", (bus) => ({
      kv: {
        update: async (bucket, value, revision) => {
          const saved = await bus.kv.update(bucket, value, revision);
          if (saved !== undefined || !isSessions(bucket)) return saved;
          const present = await bus.kv.get(bucket, bucket.keyOf(value));
          return bus.kv.update(bucket, value, present?.revision ?? 0);
        },
      },
    })),
  },
  {
    name: "the host never learns that a slot is closed",
    breaks: [9],
    launch: (launch) => (start, listener) =>
      launch(start, {
        ...listener,
        onMessage: (message) => {
          if (message.type !== "closed") listener.onMessage(message);
        },
      }),
  },
];

export const plants: readonly Plant[] = [
  ...firstPlants,
  ...failoverPlants,
  ...providerPlants,
  ...callingPlants,
];

/** Rewrites the event as if the current attempt had sent it. */
function asOfNow(world: PlantSite["world"], event: SessionEvent): SessionEvent {
  const record = world.record(event.tenant, event.sessionId);
  if (record === undefined || !("attempt" in event)) return event;
  const now = { ...event, attempt: record.attempt };
  if (!("host" in now)) return now;
  return { ...now, host: record.host ?? now.host, epoch: record.hostEpoch ?? now.epoch };
}

async function assignAlready(bus: Bus, record: SessionRecord): Promise<void> {
  for (const command of commandsFor(record)) {
    if (command.do !== "assign") continue;
    const { host, attempt, epoch, requestedWarmth, identity, room } = command;
    const { tenant, sessionId, profile, user, metadata, recovering } = record;
    const to = { tenant, sessionId, profile, user, metadata, recovering };
    const assign: Assign = {
      ...to,
      attempt,
      epoch,
      requestedWarmth,
      identity,
      ...(room === undefined ? {} : { room, token: JSON.stringify({ room, identity }) }),
    };
    await bus.core.request(assignCommand, host, assign).then(AssignAnswer.parse, () => {});
  }
}
