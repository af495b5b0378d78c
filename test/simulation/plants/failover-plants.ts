// Planted bugs of hosts, janitors and bus clients in failovers and migrations.
import type { Bus } from "../../../libs/bus/bus.ts";
import { type Bucket, conversations, rollups, sessions } from "../../../libs/contracts/buckets.ts";
import { isError } from "../../../libs/contracts/errors.ts";
import type { Rollup } from "../../../libs/contracts/fleet/pool.ts";
import type { ConversationRecord } from "../../../libs/contracts/sessions/conversation.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { releaseCommand, sessionEvents, sessionOverflow } from "../../../libs/contracts/streams.ts";
import { busOf, type Plant } from "./plant.ts";

const isSessions = (bucket: { readonly name: string }): boolean => bucket.name === sessions.name;

export const failoverPlants: readonly Plant[] = [
  {
    // The record is the last of three safeguards: without the other two, rereading it alone must stop the zombie.
    name: "a zombie doesn't reread its records, and neither a release nor LiveKit removes it",
    breaks: [6, 9],
    bus: busOf("agent-host", (bus) => {
      const own = new Map<string, SessionRecord>();
      return {
        core: {
          serve: (command, host, answer) =>
            bus.core.serve(command, host, async (request) =>
              command.name === releaseCommand.name
                ? command.answer.parse({ released: false })
                : answer(request),
            ),
        },
        kv: {
          get: async (bucket, key) => {
            const entry = await bus.kv.get(bucket, key);
            if (entry === undefined || !isSessions(bucket)) return entry;
            const record = entry.value as SessionRecord;
            const known = own.get(key);
            // The zombie keeps the first record that it saw of each of its own attempts.
            if (known !== undefined && known.host === record.host && known.attempt !== record.attempt)
              own.set(key, record);
            else if (known === undefined && record.state !== "ended") own.set(key, record);
            return { ...entry, value: (own.get(key) ?? record) as typeof entry.value };
          },
        },
      };
    }),
    livekit: (livekit) => ({ ...livekit, rooms: { ...livekit.rooms, remove: async () => {} } }),
  },
  {
    name: "the host frees a slot when it can't read the record",
    breaks: ["free after reading"],
    bus: busOf("agent-host", (bus) => ({
      kv: {
        get: (bucket, key) =>
          bus.kv.get(bucket, key).catch((error: unknown) => {
            if (isSessions(bucket)) return undefined;
            throw error;
          }),
      },
    })),
  },
  {
    name: "the janitor gives up a live session whose host is cut off",
    breaks: [6],
    livekit: (livekit, { kind }) =>
      kind === "janitor" ? { ...livekit, rooms: { ...livekit.rooms, answers: async () => false } } : livekit,
  },
  {
    name: "a refused compare-and-set counts as lost without another read",
    breaks: [4],
    keys: (keys) => ({
      ...keys,
      // Resends the write, like after a lost answer: a single server refuses the second one.
      put: async (key, data, revision) => {
        await keys.put(key, data, revision);
        return keys.put(key, data, revision);
      },
      newest: async () => undefined,
    }),
  },
  {
    name: "the gateway treats a time-out as a failure and requests a second session",
    breaks: [10],
    bus: busOf("gateway", (bus) => ({
      streams: {
        publish: (channel, message) =>
          bus.streams.publish(channel, message).catch((error: unknown) => {
            if (!isError(error, "storage_unavailable")) throw error;
            return bus.streams.publish({ ...channel, idOf: () => undefined }, message);
          }),
      },
    })),
  },
  {
    name: "the host reports an agent as lost that it should migrate",
    breaks: [6],
    bus: busOf("agent-host", (bus) => ({
      streams: {
        publish: (channel, message) => {
          const event = message as SessionEvent;
          if (channel.stream !== sessionEvents.stream || event.type !== "migrated")
            return bus.streams.publish(channel, message);
          const { tenant, sessionId, attempt, at, reason } = event;
          const lost: SessionEvent = { type: "agent_lost", tenant, sessionId, attempt, at, reason };
          return bus.streams.publish(sessionEvents, lost);
        },
      },
    })),
  },
  {
    name: "the overflow stream is acked without forwarding",
    breaks: [1, 2],
    bus: busOf("dispatcher", (bus) => ({
      streams: {
        consume: (channel, options, handle) =>
          bus.streams.consume(channel, options, async (message, delivery) =>
            channel.stream === sessionOverflow.stream ? "ack" : handle(message, delivery),
          ),
      },
    })),
  },
  {
    name: "a request that may be a repetition goes to the overflow stream",
    breaks: [10],
    bus: busOf("gateway", (bus) => ({
      streams: {
        publish: (channel, message) =>
          bus.streams.publish(
            channel.stream === sessionEvents.stream
              ? { ...channel, overflow: sessionOverflow as unknown as typeof channel }
              : channel,
            message,
          ),
      },
    })),
  },
  {
    name: "an old attempt's checkpoint overwrites a newer one's",
    worlds: "large",
    breaks: ["checkpoint"],
    bus: busOf("agent-host", (bus) => ({
      kv: {
        get: async (bucket, key) => {
          const entry = await bus.kv.get(bucket, key);
          if (entry === undefined || bucket.name !== conversations.name) return entry;
          return { ...entry, value: { ...entry.value, attempt: 1 } };
        },
        update: (bucket, value, revision) => saveOver(bus, bucket, value, revision),
      },
    })),
  },
  {
    name: "the janitor keeps the conversations of ended sessions",
    breaks: [9],
    bus: busOf("janitor", (bus) => ({
      kv: {
        delete: async (bucket, key, revision) =>
          bucket.name === conversations.name ? true : bus.kv.delete(bucket, key, revision),
      },
    })),
  },
  {
    name: "the next agent starts without the conversation",
    breaks: ["resume"],
    launch: (launch) => (start, listener) => {
      const agentProcess = launch(start, listener);
      return {
        get pid() {
          return agentProcess.pid;
        },
        kill: (...args) => agentProcess.kill(...args),
        send: (message) => {
          if (message.type !== "run") return agentProcess.send(message);
          const { resumes: _, ...job } = message.job;
          agentProcess.send({ ...message, job });
        },
      };
    },
  },
  {
    name: "the wait queue never wakes a session",
    breaks: [2],
    bus: busOf("dispatcher", (bus) => ({
      streams: {
        publish: async (channel, message) => {
          const isRetry =
            channel.stream === sessionEvents.stream && (message as SessionEvent).type === "retry_requested";
          return isRetry ? { duplicate: true } : bus.streams.publish(channel, message);
        },
      },
    })),
  },
  {
    name: "an unreadable message is dropped without a dead letter",
    breaks: [13],
    deadLettering: () => async () => {},
  },
  {
    name: "the janitor adds sessions to a rollup that already contains them",
    breaks: [12],
    bus: busOf("janitor", (bus) => ({
      kv: {
        update: async (bucket, value, revision) => {
          if (bucket.name !== rollups.name) return bus.kv.update(bucket, value, revision);
          const rollup = value as Rollup;
          const before = (await bus.kv.get(rollups, rollups.keyOf(rollup)))?.value.sessions ?? 0;
          return bus.kv.update(rollups, { ...rollup, sessions: before + rollup.sessions }, revision);
        },
      },
    })),
  },
];

async function saveOver<T>(
  bus: Bus,
  bucket: Bucket<T>,
  value: T,
  revision: number,
): Promise<number | undefined> {
  const saved = await bus.kv.update(bucket, value, revision);
  if (saved !== undefined || bucket.name !== conversations.name) return saved;
  const key = conversations.keyOf(value as unknown as ConversationRecord);
  const present = await bus.kv.get(conversations, key);
  return bus.kv.update(bucket, value, present?.revision ?? 0);
}
