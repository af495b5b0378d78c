// Buses that count and time their traffic, and that report writes to hooks.
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import type { Channel, Command, Topic } from "../contracts/streams.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Ack, Bus, Core, Delivery, KeyValue, Streams } from "./bus.ts";
import { overrideBus } from "./override-bus.ts";

/** Called after a service has written something, for metrics of its own. */
export interface BusHooks {
  /** @param revision the revision that the value replaced; 0 for a new key */
  updated?(bucket: Bucket<never>, value: unknown, revision: number): void;
  published?(topic: Topic<never>, message: unknown): void;
}

export function instrumentedBus(bus: Bus, metrics: Metrics): Bus {
  metrics.gauge("greenroom_nats_connected", "1 while the connection to NATS is up.", [], (set) =>
    set(bus.isConnected() ? 1 : 0),
  );
  const consuming = instrumentedHandlers(bus, metrics);
  return overrideBus(bus, {
    streams: { ...instrumentedPublish(bus, metrics), consume: consuming.streams },
    kv: { ...instrumentedUpdate(bus, metrics), consume: consuming.kv },
    core: instrumentedRequest(bus, metrics),
  });
}

export function hookedBus(bus: Bus, hooks: BusHooks): Bus {
  return overrideBus(bus, {
    kv: {
      async update<T>(bucket: Bucket<T>, value: T, revision: number) {
        const updated = await bus.kv.update(bucket, value, revision);
        if (updated !== undefined) hooks.updated?.(bucket as unknown as Bucket<never>, value, revision);
        return updated;
      },
    },
    core: {
      publishTransient(topic, message) {
        bus.core.publishTransient(topic, message);
        hooks.published?.(topic as unknown as Topic<never>, message);
      },
    },
  });
}

function instrumentedPublish(bus: Bus, metrics: Metrics): Pick<Streams, "publish"> {
  const published = metrics.counter(
    "greenroom_messages_stored_total",
    "Messages that this process published to a stream; outcome is stored, duplicate, or the error's code.",
    ["stream", "outcome"],
  );
  return {
    async publish<T>(channel: Channel<T>, message: T) {
      try {
        const answer = await bus.streams.publish(channel, message);
        published({ stream: channel.stream, outcome: answer.duplicate ? "duplicate" : "stored" });
        return answer;
      } catch (error) {
        published({ stream: channel.stream, outcome: codeOf(error) });
        throw error;
      }
    },
  };
}

function instrumentedUpdate(bus: Bus, metrics: Metrics): Pick<KeyValue, "update"> {
  const updates = metrics.counter(
    "greenroom_records_saved_total",
    "Records that this process wrote by compare-and-set, by bucket and by state (for records that have one); outcome is saved, lost_race, or the error's code.",
    ["bucket", "state", "outcome"],
  );
  return {
    async update<T>(bucket: Bucket<T>, value: T, revision: number) {
      const labels = { bucket: bucket.name, state: stateOf(value) };
      try {
        const updated = await bus.kv.update(bucket, value, revision);
        updates({ ...labels, outcome: updated === undefined ? "lost_race" : "saved" });
        return updated;
      } catch (error) {
        updates({ ...labels, outcome: codeOf(error) });
        throw error;
      }
    },
  };
}

function instrumentedHandlers(
  bus: Bus,
  metrics: Metrics,
): { streams: Streams["consume"]; kv: KeyValue["consume"] } {
  const handled = metrics.histogram(
    "greenroom_message_handling_seconds",
    "Time that this process took to handle a message or revision, by consumer; outcome is ack, nak, or failed.",
    ["consumer", "outcome"],
  );
  const timed =
    <T>(consumer: string, handle: (input: T, delivery: Delivery) => Promise<Ack>) =>
    async (input: T, delivery: Delivery): Promise<Ack> => {
      const startedAtMs = performance.now();
      let outcome: Ack | "failed" = "failed";
      try {
        outcome = await handle(input, delivery);
        return outcome;
      } finally {
        handled((performance.now() - startedAtMs) / 1000, { consumer, outcome });
      }
    };
  return {
    streams: (channel, options, handle) =>
      bus.streams.consume(channel, options, timed(options.durable, handle)),
    kv: (bucket, options, handle) => bus.kv.consume(bucket, options, timed(options.durable, handle)),
  };
}

function instrumentedRequest(bus: Bus, metrics: Metrics): Pick<Core, "request"> {
  const requested = metrics.histogram(
    "greenroom_command_seconds",
    "Time until the answer to a command; outcome is its verdict, answered, or the error's code.",
    ["command", "outcome"],
  );
  return {
    async request<Q, A>(command: Command<Q, A>, host: string, request: Q): Promise<A> {
      const startedAtMs = performance.now();
      let outcome = "answered";
      try {
        const answer = await bus.core.request(command, host, request);
        const { verdict } = (answer ?? {}) as { verdict?: unknown };
        if (typeof verdict === "string") outcome = verdict;
        return answer;
      } catch (error) {
        outcome = codeOf(error);
        throw error;
      } finally {
        requested((performance.now() - startedAtMs) / 1000, { command: command.name, outcome });
      }
    },
  };
}

const codeOf = (error: unknown): string => (error instanceof GreenroomError ? error.code : "bug");

/** A record's state is one of a few words, so it is safe as a label. */
function stateOf(value: unknown): string {
  const { state } = (value ?? {}) as { state?: unknown };
  return typeof state === "string" ? state : "";
}
