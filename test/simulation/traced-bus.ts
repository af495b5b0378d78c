// The bus of one simulated process, with everything that it says written down and checked as it is said.
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
  /** Whether the store ever had a record that sends this attempt to this host. */
  wasSaved(assign: Assign, host: string): boolean;
  /**
   * Whether a write was done and another one made over it. Its writer can't see that any more when the store was
   * told twice and answered the second telling; it is called lost then, and its writer looks again.
   */
  wasOverwritten(record: SessionRecord): boolean;
  /** A host knows that it has stored what was said. */
  onKept(record: ConversationRecord): void;
  /** A host has read what stands there of a conversation. */
  onReadBack(record: ConversationRecord | undefined): void;
  /** It asked for one, and the store gave none. */
  onReadInVain(key: string): void;
  /** The providers service says that nobody took what it asked for. */
  onDeclined(): void;
  /** A janitor, a host or the providers service says that an attempt's agent is lost. */
  onGivenUp(event: Extract<SessionEvent, { type: "agent_lost" }>): void;
}

/** The same bus; a trace holds messages and records of sessions only, since host events would drown them. */
export function tracedBus(bus: Bus, watch: BusWatch): Bus {
  return overrideBus(bus, {
    streams: tracedStreams(bus, watch),
    kv: tracedKeyValue(bus, watch),
    core: { request: (command, host, question) => request(bus, watch, command, host, question) },
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
      // Whoever hands on what the relief took has judged nothing.
      const isHandedOn = watch.kind === "dispatcher" && channel.overflow === undefined;
      if (event.type === "agent_lost" && watch.kind !== "gateway" && !isHandedOn) watch.onGivenUp(event);
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
        if (isConversation) watch.onReadInVain(key);
        throw error;
      });
      if (isConversation) watch.onReadBack(entry?.value as ConversationRecord | undefined);
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
  question: Q,
): Promise<A> {
  if (command.name === "ping") return bus.core.request(command, host, question);
  const { sessionId, attempt } = question as { sessionId: string; attempt: number };
  const what = `${command.name} ${trace.nameOf(sessionId)}#${attempt}`;
  trace.note(who, `asks ${host}: ${what}`);
  if (command.name === assignCommand.name && !wasSaved(question as Assign, host))
    trace.violation("persist before acting", `${who} sends ${what} to ${host}, which no saved record does`);
  try {
    const answer = await bus.core.request(command, host, question);
    const { verdict } = answer as Partial<AssignAnswer>;
    if (verdict !== undefined) trace.note(who, `is told by ${host}: ${verdict} ${what}`);
    return answer;
  } catch (error) {
    trace.note(who, `gets no answer to ${what}: ${messageOf(error)}`);
    throw error;
  }
}

async function update<T>(
  bus: Bus,
  { who, kind, trace, facts, onKept, wasOverwritten }: BusWatch,
  bucket: Bucket<T>,
  value: T,
  revision: number,
): Promise<number | undefined> {
  if (bucket.name === conversations.name) {
    const kept = await bus.kv.update(bucket, value, revision);
    if (kept !== undefined) onKept(value as ConversationRecord);
    return kept;
  }
  if (bucket.name === launches.name) return updateLaunch(bus, { who, trace }, bucket, value, revision);
  if (bucket.name !== sessions.name) return bus.kv.update(bucket, value, revision);
  const record = value as SessionRecord;
  facts.onSave(who, kind, record, revision);
  const what = `${trace.nameOf(record.sessionId)}#${record.attempt} ${record.state}`;
  try {
    const saved = await bus.kv.update(bucket, value, revision);
    trace.note(who, saved === undefined ? `is too late to save ${what}` : `saved ${what}${detailOf(record)}`);
    if (saved === undefined && !wasOverwritten(record)) facts.onCalledLost(record.writeId);
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
  const what = `the launch ${trace.nameOf(sessionId)}#${attempt} ${state}, taken up ${takeovers}`;
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
