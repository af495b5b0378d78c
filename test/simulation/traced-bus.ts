// Wraps the bus of a simulated process: traces its messages and checks them at once.
import type { Ack, Bus, KeyValue, Streams } from "../../libs/bus/bus.ts";
import { overrideBus } from "../../libs/bus/override-bus.ts";
import { type Bucket, conversations, launches, sessions } from "../../libs/contracts/buckets.ts";
import { messageOf } from "../../libs/contracts/errors.ts";
import type { Assign, AssignAnswer } from "../../libs/contracts/fleet/host.ts";
import type { LaunchRecord } from "../../libs/contracts/providers/provider.ts";
import type { ConversationRecord } from "../../libs/contracts/sessions/conversation.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { assignCommand, type Command, sessionEvents } from "../../libs/contracts/streams.ts";
import type { Facts } from "./checks/facts.ts";
import type { Trace } from "./trace.ts";

export interface BusWatch {
  readonly who: string;
  readonly kind: string;
  readonly trace: Trace;
  readonly facts: Facts;
  /** Whether a record that assigns this attempt to this host was ever stored. */
  wasSaved(assign: Assign, host: string): boolean;
  /**
   * Whether a write succeeded and was then overwritten. The writer of a resent write can't see its success any
   * more, since the store answers the second one. The write then counts as lost, and the writer reads again.
   */
  wasOverwritten(record: SessionRecord): boolean;
  /** A host knows that it has stored a conversation. */
  onStored(record: ConversationRecord): void;
  /** A host has read a conversation. */
  onRead(record: ConversationRecord | undefined): void;
  /** A host failed to read a conversation. */
  onReadFailed(key: string): void;
  /** The providers service reports that no worker accepted a launch. */
  onDeclined(): void;
  /** A janitor, a host or the providers service reports an attempt's agent as lost. */
  onGivenUp(event: Extract<SessionEvent, { type: "agent_lost" }>): void;
}

/** Wraps a bus. The trace contains only messages and records of sessions, since host events would drown them out. */
export function tracedBus(bus: Bus, watch: BusWatch): Bus {
  return overrideBus(bus, {
    streams: tracedStreams(bus, watch),
    kv: tracedKeyValue(bus, watch),
    core: { request: (command, host, payload) => request(bus, watch, command, host, payload) },
    admin: {
      purge: (store, filter) => {
        watch.trace.note(watch.who, `purges ${filter}`);
        return bus.admin.purge(store, filter);
      },
      deleteMessage: (channel, sequence) => {
        watch.trace.note(watch.who, `deletes ${sequence} of ${channel.stream}`);
        return bus.admin.deleteMessage(channel, sequence);
      },
    },
  });
}

function tracedStreams(bus: Bus, watch: BusWatch): Pick<Streams, "publish" | "consume"> {
  const { who, trace } = watch;
  return {
    publish: async (channel, message) => {
      if (!isAboutSessions(channel)) return bus.streams.publish(channel, message);
      const event = message as SessionEvent;
      trace.note(who, `publishes ${describeEvent(trace, event)}`);
      if (event.type === "provider_declined") watch.onDeclined();
      if (event.type === "deadline_exceeded" && watch.kind !== "dispatcher")
        watch.facts.onDeadlineExceeded(event);
      // A dispatcher that forwards an event from the overflow stream has not decided anything.
      const isForwarded = watch.kind === "dispatcher" && channel.overflow === undefined;
      if (event.type === "agent_lost" && watch.kind !== "gateway" && !isForwarded) watch.onGivenUp(event);
      try {
        return await bus.streams.publish(channel, message);
      } catch (error) {
        trace.note(who, `failed to publish ${describeEvent(trace, event)}: ${messageOf(error)}`);
        throw error;
      }
    },
    consume: (channel, options, handle) =>
      bus.streams.consume(channel, options, async (message, delivery) => {
        const redelivered = delivery.deliveries > 1 ? `, delivery ${delivery.deliveries}` : "";
        const what = isAboutSessions(channel)
          ? describeEvent(trace, message as SessionEvent)
          : delivery.subject;
        trace.note(who, `receives ${what}${redelivered}`);
        return ackOf(watch, what, handle(message, delivery));
      }),
  };
}

function tracedKeyValue(bus: Bus, watch: BusWatch): Pick<KeyValue, "get" | "update" | "delete" | "consume"> {
  const { who, trace } = watch;
  return {
    get: async (bucket, key) => {
      const isConversation = watch.kind === "agent-host" && bucket.name === conversations.name;
      const entry = await bus.kv.get(bucket, key).catch((error: unknown) => {
        if (isConversation) watch.onReadFailed(key);
        throw error;
      });
      if (isConversation) watch.onRead(entry?.value as ConversationRecord | undefined);
      if (watch.kind === "agent-host" && bucket.name === sessions.name && entry !== undefined)
        watch.facts.onHostRead(who, entry.value as SessionRecord);
      return entry;
    },
    update: (bucket, value, revision) => update(bus, watch, bucket, value, revision),
    delete: (bucket, key, revision) => {
      trace.note(who, `deletes ${bucket.name}/${key}`);
      return bus.kv.delete(bucket, key, revision);
    },
    consume: (bucket, options, handle) =>
      bus.kv.consume(bucket, options, (change, delivery) =>
        ackOf(watch, delivery.subject, handle(change, delivery)),
      ),
  };
}

async function ackOf({ who, trace }: BusWatch, what: string, handling: Promise<Ack>): Promise<Ack> {
  const ack = await handling.catch((error: unknown) => {
    trace.note(who, `fails at ${what}: ${messageOf(error)}`);
    throw error;
  });
  if (ack === "nak") trace.note(who, `naks ${what}`);
  return ack;
}

async function request<Q, A>(
  bus: Bus,
  { who, trace, wasSaved }: BusWatch,
  command: Command<Q, A>,
  host: string,
  payload: Q,
): Promise<A> {
  if (command.name === "ping") return bus.core.request(command, host, payload);
  const { sessionId, attempt } = payload as { sessionId: string; attempt: number };
  const what = `${command.name} ${trace.nameOf(sessionId)}#${attempt}`;
  trace.note(who, `requests ${host}: ${what}`);
  if (command.name === assignCommand.name && !wasSaved(payload as Assign, host))
    trace.violation("persist before acting", `${who} sends ${what} to ${host} without a saved record`);
  try {
    const answer = await bus.core.request(command, host, payload);
    const { verdict } = answer as Partial<AssignAnswer>;
    if (verdict !== undefined) trace.note(who, `gets the answer of ${host}: ${verdict} ${what}`);
    return answer;
  } catch (error) {
    trace.note(who, `gets no answer to ${what}: ${messageOf(error)}`);
    throw error;
  }
}

async function update<T>(
  bus: Bus,
  { who, kind, trace, facts, onStored, wasOverwritten }: BusWatch,
  bucket: Bucket<T>,
  value: T,
  revision: number,
): Promise<number | undefined> {
  if (bucket.name === conversations.name) {
    const stored = await bus.kv.update(bucket, value, revision);
    if (stored !== undefined) onStored(value as ConversationRecord);
    return stored;
  }
  if (bucket.name === launches.name) return updateLaunch(bus, { who, trace }, bucket, value, revision);
  if (bucket.name !== sessions.name) return bus.kv.update(bucket, value, revision);
  const record = value as SessionRecord;
  facts.onSave(who, kind, record, revision);
  const what = `${trace.nameOf(record.sessionId)}#${record.attempt} ${record.state}`;
  try {
    const saved = await bus.kv.update(bucket, value, revision);
    trace.note(who, saved === undefined ? `is too late to save ${what}` : `saved ${what}${detailOf(record)}`);
    if (saved === undefined && !wasOverwritten(record)) facts.onReportedLost(record.writeId);
    if (saved !== undefined) facts.onSaved(record.writeId, saved);
    return saved;
  } catch (error) {
    trace.note(who, `does not know whether it saved ${what}: ${messageOf(error)}`);
    throw error;
  }
}

async function updateLaunch<T>(
  bus: Bus,
  { who, trace }: Pick<BusWatch, "who" | "trace">,
  bucket: Bucket<T>,
  value: T,
  revision: number,
): Promise<number | undefined> {
  const { sessionId, attempt, state, takeovers } = value as LaunchRecord;
  const what = `the launch ${trace.nameOf(sessionId)}#${attempt} ${state}, takeovers: ${takeovers}`;
  try {
    const saved = await bus.kv.update(bucket, value, revision);
    trace.note(who, saved === undefined ? `is too late to save ${what}` : `saved ${what}`);
    return saved;
  } catch (error) {
    trace.note(who, `does not know whether it saved ${what}: ${messageOf(error)}`);
    throw error;
  }
}

const isAboutSessions = (channel: { readonly stream: string }): boolean =>
  channel.stream === sessionEvents.stream;

const detailOf = (record: SessionRecord): string => {
  if (record.state === "ended") return ` (${record.endedReason}: ${record.history.at(-1)?.reason})`;
  return record.host === undefined ? "" : ` on ${record.host}`;
};

export function describeEvent(trace: Trace, event: SessionEvent): string {
  const attempt = "attempt" in event ? `#${event.attempt}` : "";
  const from = "host" in event ? ` by ${event.host}/${event.epoch}` : "";
  const kind = event.type === "deadline_exceeded" ? ` ${event.kind}` : "";
  const reason = "reason" in event ? ` (${event.reason})` : "";
  return `${event.type}${kind} ${trace.nameOf(event.sessionId)}${attempt}${from}${reason}`;
}
