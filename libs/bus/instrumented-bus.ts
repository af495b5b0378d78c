// A bus that counts and times what goes over it.
import type { Bucket } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import type { Channel, Command, Topic } from "../contracts/streams.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { Bus, Delivery, Verdict } from "./bus.ts";

/** What a service makes of its own words: called after they were said. */
export interface BusHooks {
  /** @param revision that it replaced; 0 for a new one */
  saved?(bucket: Bucket<never>, value: unknown, revision: number): void;
  announced?(topic: Topic<never>, message: unknown): void;
}

export function instrumentedBus(bus: Bus, metrics: Metrics, hooks: BusHooks = {}): Bus {
  const own: Partial<Bus> = {
    ...measuredStores(bus, metrics, hooks),
    ...measuredHandlers(bus, metrics),
    ...measuredCommands(bus, metrics),
    publishTransient<T>(topic: Topic<T>, message: T) {
      bus.publishTransient(topic, message);
      hooks.announced?.(topic as unknown as Topic<never>, message);
    },
  };
  metrics.gauge("greenroom_nats_connected", "1 while the connection to NATS stands.", [], (set) =>
    set(bus.isConnected() ? 1 : 0),
  );
  // All else goes to the bus itself, whatever it can by now; a method must be called on what has its private fields.
  return new Proxy(bus, {
    get(target, name) {
      const value = own[name as keyof Bus] ?? Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function measuredStores(bus: Bus, metrics: Metrics, hooks: BusHooks): Pick<Bus, "publish" | "save"> {
  const stored = metrics.counter(
    "greenroom_messages_stored_total",
    "Messages that this process had stored, by stream; outcome is stored, duplicate, or the error's code.",
    ["stream", "outcome"],
  );
  const saves = metrics.counter(
    "greenroom_records_saved_total",
    "Records that this process wrote by compare-and-set, by bucket and, where they have one, state; outcome is saved, lost_race, or the error's code.",
    ["bucket", "state", "outcome"],
  );
  return {
    async publish<T>(channel: Channel<T>, message: T) {
      try {
        const answer = await bus.publish(channel, message);
        stored({ stream: channel.stream, outcome: answer.duplicate ? "duplicate" : "stored" });
        return answer;
      } catch (error) {
        stored({ stream: channel.stream, outcome: codeOf(error) });
        throw error;
      }
    },
    async save<T>(bucket: Bucket<T>, value: T, revision: number) {
      const labels = { bucket: bucket.name, state: stateOf(value) };
      try {
        const saved = await bus.save(bucket, value, revision);
        saves({ ...labels, outcome: saved === undefined ? "lost_race" : "saved" });
        if (saved !== undefined) hooks.saved?.(bucket as unknown as Bucket<never>, value, revision);
        return saved;
      } catch (error) {
        saves({ ...labels, outcome: codeOf(error) });
        throw error;
      }
    },
  };
}

function measuredHandlers(bus: Bus, metrics: Metrics): Pick<Bus, "consume" | "follow"> {
  const handled = metrics.histogram(
    "greenroom_message_handling_seconds",
    "How long this process had a message or revision in hand, by the consumer's name; outcome is done, retry, or failed.",
    ["consumer", "outcome"],
  );
  const timed =
    <T>(consumer: string, handle: (of: T, delivery: Delivery) => Promise<Verdict>) =>
    async (of: T, delivery: Delivery): Promise<Verdict> => {
      const began = performance.now();
      let outcome: Verdict | "failed" = "failed";
      try {
        outcome = await handle(of, delivery);
        return outcome;
      } finally {
        handled((performance.now() - began) / 1000, { consumer, outcome });
      }
    };
  return {
    consume: (channel, options, handle) => bus.consume(channel, options, timed(options.durable, handle)),
    follow: (bucket, options, handle) => bus.follow(bucket, options, timed(options.durable, handle)),
  };
}

function measuredCommands(bus: Bus, metrics: Metrics): Pick<Bus, "request"> {
  const asked = metrics.histogram(
    "greenroom_command_seconds",
    "How long the answer to a command took; outcome is the verdict, answered, or the error's code.",
    ["command", "outcome"],
  );
  return {
    async request<Q, A>(command: Command<Q, A>, host: string, question: Q): Promise<A> {
      const began = performance.now();
      let outcome = "answered";
      try {
        const answer = await bus.request(command, host, question);
        const { verdict } = (answer ?? {}) as { verdict?: unknown };
        if (typeof verdict === "string") outcome = verdict;
        return answer;
      } catch (error) {
        outcome = codeOf(error);
        throw error;
      } finally {
        asked((performance.now() - began) / 1000, { command: command.name, outcome });
      }
    },
  };
}

const codeOf = (error: unknown): string => (error instanceof GreenroomError ? error.code : "bug");

/** Of records that have one it is one of a few words. */
function stateOf(value: unknown): string {
  const { state } = (value ?? {}) as { state?: unknown };
  return typeof state === "string" ? state : "";
}
