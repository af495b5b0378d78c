// Steady traffic on a cluster, which measures the longest interruption of each operation.
import type { Bus } from "../../libs/bus/bus.ts";
import { forward } from "../../libs/bus/overflow.ts";
import { hosts } from "../../libs/contracts/buckets.ts";
import { aHost } from "../kit/fixtures/sessions.ts";
import { eventsOf, fresh, requested } from "./buses.ts";

const EVERY_MS = 50;
const REBALANCE_MS = 1000;

/** The longest interruption of each operation, in ms. */
export interface Gaps {
  readonly publishing: number;
  readonly consuming: number;
  readonly saving: number;
  readonly watching: number;
  readonly following: number;
}

type Operation = keyof Gaps;
const operations: readonly Operation[] = ["publishing", "consuming", "saving", "watching", "following"];

interface Seen {
  readonly published: Set<string>;
  readonly consumed: Map<string, number>;
  /** The newest stored revision, and the newest one delivered to the bucket's consumer. */
  readonly savedUpTo: number;
  readonly followedUpTo: number;
}

export interface Traffic {
  /** Starts a new measurement. */
  reset(): void;
  /** The longest interruptions since the reset, including current ones. */
  gaps(): Gaps;
  /** Whether each operation has succeeded within the last second. */
  isMoving(): boolean;
  /** Stops when all published messages are consumed, or after `timeoutMs`. */
  stop(timeoutMs: number): Promise<Seen>;
}

/** Starts traffic over three buses, like three processes: one writes, one consumes, one watches. */
export async function startTraffic(buses: { writer: Bus; consumer: Bus; watcher: Bus }, durable: string) {
  const channel = eventsOf(fresh("t"));
  const tenant = channel.subjects.split(".")[1]!;
  const published = new Set<string>();
  const consumed = new Map<string, number>();
  const longest = new Map<Operation, number>();
  const last = new Map<Operation, number>();
  const mark = (operation: Operation) => {
    const now = performance.now();
    longest.set(operation, Math.max(longest.get(operation) ?? 0, now - (last.get(operation) ?? now)));
    last.set(operation, now);
  };
  const host = fresh("h");
  const stopConsuming = await buses.consumer.streams.consume(
    channel,
    { durable, description: "a test", concurrency: 16 },
    async (event) => {
      consumed.set(event.sessionId, (consumed.get(event.sessionId) ?? 0) + 1);
      mark("consuming");
      return "ack";
    },
  );
  let [savedUpTo, followedUpTo] = [0, 0];
  const stopFollowing = await buses.consumer.kv.consume(
    hosts,
    { durable, description: "a test", concurrency: 4 },
    async ({ key, revision }) => {
      if (key !== host) return "ack";
      followedUpTo = Math.max(followedUpTo, revision);
      mark("following");
      return "ack";
    },
  );
  // Forwards overflowed messages and rebalances leaders, like the dispatcher and the janitor.
  const stopForwarding = await forward(buses.consumer, channel);
  const rebalancing = setInterval(
    () => void buses.watcher.admin.rebalanceLeaders().catch(() => {}),
    REBALANCE_MS,
  );
  const stopWatching = await buses.watcher.kv.watch(hosts, ({ key }) => {
    if (key === host) mark("watching");
  });
  let isStopped = false;
  let isSaving = true;
  const inFlight = new Set<Promise<void>>();
  // Publishes every 50 ms, whether or not earlier publishes were answered: each request has its own client.
  const publishing = setInterval(() => {
    const id = fresh("s");
    const work = (async () => {
      while (!isStopped) {
        try {
          await buses.writer.streams.publish(channel, requested(tenant, id));
          published.add(id);
          return mark("publishing");
        } catch {
          await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
        }
      }
    })().finally(() => inFlight.delete(work));
    inFlight.add(work);
  }, EVERY_MS);
  const saving = (async () => {
    for (let sequence = 1; isSaving; sequence++) {
      try {
        const revision = (await buses.writer.kv.get(hosts, host))?.revision ?? 0;
        const saved = await buses.writer.kv.update(hosts, aHost(host, sequence), revision);
        if (saved !== undefined) {
          savedUpTo = saved;
          mark("saving");
        }
      } catch {
        // Retried after the pause.
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  const traffic: Traffic = {
    reset() {
      for (const operation of operations) {
        longest.set(operation, 0);
        last.set(operation, performance.now());
      }
    },
    gaps() {
      const now = performance.now();
      const gapOf = (operation: Operation) =>
        Math.round(Math.max(longest.get(operation) ?? 0, now - (last.get(operation) ?? now)));
      return {
        publishing: gapOf("publishing"),
        consuming: gapOf("consuming"),
        saving: gapOf("saving"),
        watching: gapOf("watching"),
        following: gapOf("following"),
      };
    },
    isMoving() {
      const oldest = performance.now() - 1000;
      return operations.every((operation) => (last.get(operation) ?? 0) > oldest);
    },
    async stop(timeoutMs) {
      clearInterval(publishing);
      const deadline = performance.now() + timeoutMs;
      const isDone = () =>
        inFlight.size === 0 && [...published].every((id) => consumed.has(id)) && followedUpTo >= savedUpTo;
      isSaving = false;
      await saving;
      while (!isDone() && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      }
      isStopped = true;
      clearInterval(rebalancing);
      await stopFollowing();
      await stopForwarding();
      await stopConsuming();
      await stopWatching();
      return { published, consumed, savedUpTo, followedUpTo };
    },
  };
  return traffic;
}
