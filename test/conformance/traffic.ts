// Steady traffic on a cluster, by which one sees how long each way of it stands still.
import type { Bus } from "../../libs/bus/bus.ts";
import { forward } from "../../libs/bus/overflow.ts";
import { hosts } from "../../libs/contracts/buckets.ts";
import { aHost } from "../kit/fixtures/sessions.ts";
import { eventsOf, fresh, requested } from "./buses.ts";

const EVERY_MS = 50;
const TEND_MS = 1000;

/** The longest pause of each way, in ms. */
export interface Gaps {
  readonly publishing: number;
  readonly consuming: number;
  readonly saving: number;
  readonly watching: number;
  readonly following: number;
}

type Way = keyof Gaps;
const ways: readonly Way[] = ["publishing", "consuming", "saving", "watching", "following"];

interface Seen {
  readonly published: Set<string>;
  readonly consumed: Map<string, number>;
  /** The newest revision that was saved, and the newest that who follows was handed. */
  readonly savedUpTo: number;
  readonly followedUpTo: number;
}

export interface Traffic {
  /** Begins to count pauses anew. */
  reset(): void;
  /** The longest pauses since then, the present ones included. */
  gaps(): Gaps;
  /** Whether each way has moved within the last second. */
  isMoving(): boolean;
  /** Ends it, when all that was published is consumed, or after `timeoutMs`. */
  stop(timeoutMs: number): Promise<Seen>;
}

/** Each bus is a process of its own: one writes, one consumes, one watches. */
export async function startTraffic(buses: { writer: Bus; consumer: Bus; watcher: Bus }, durable: string) {
  const channel = eventsOf(fresh("t"));
  const tenant = channel.subjects.split(".")[1]!;
  const published = new Set<string>();
  const consumed = new Map<string, number>();
  const longest = new Map<Way, number>();
  const last = new Map<Way, number>();
  const mark = (way: Way) => {
    const now = performance.now();
    longest.set(way, Math.max(longest.get(way) ?? 0, now - (last.get(way) ?? now)));
    last.set(way, now);
  };
  const host = fresh("h");
  const stopConsuming = await buses.consumer.consume(channel, { durable, concurrency: 16 }, async (event) => {
    consumed.set(event.sessionId, (consumed.get(event.sessionId) ?? 0) + 1);
    mark("consuming");
    return "done";
  });
  let [savedUpTo, followedUpTo] = [0, 0];
  const stopFollowing = await buses.consumer.follow(
    hosts,
    { durable, concurrency: 4 },
    async ({ key, revision }) => {
      if (key !== host) return "done";
      followedUpTo = Math.max(followedUpTo, revision);
      mark("following");
      return "done";
    },
  );
  // As the processes do that consume, and those that look after things.
  const stopHandingOn = await forward(buses.consumer, channel);
  const tending = setInterval(() => void buses.watcher.rebalanceLeaders().catch(() => {}), TEND_MS);
  const stopWatching = await buses.watcher.watch(hosts, ({ key }) => {
    if (key === host) mark("watching");
  });
  let isStopped = false;
  let isSaving = true;
  const underWay = new Set<Promise<void>>();
  // A new one every 50 ms, whether the ones before were answered or not: each request has its own caller.
  const publishing = setInterval(() => {
    const id = fresh("s");
    const work = (async () => {
      while (!isStopped) {
        try {
          await buses.writer.publish(channel, requested(tenant, id));
          published.add(id);
          return mark("publishing");
        } catch {
          await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
        }
      }
    })().finally(() => underWay.delete(work));
    underWay.add(work);
  }, EVERY_MS);
  const saving = (async () => {
    for (let sequence = 1; isSaving; sequence++) {
      try {
        const revision = (await buses.writer.read(hosts, host))?.revision ?? 0;
        const saved = await buses.writer.save(hosts, aHost(host, sequence), revision);
        if (saved !== undefined) {
          savedUpTo = saved;
          mark("saving");
        }
      } catch {
        // It is tried again.
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  const traffic: Traffic = {
    reset() {
      for (const way of ways) {
        longest.set(way, 0);
        last.set(way, performance.now());
      }
    },
    gaps() {
      const now = performance.now();
      const gapOf = (way: Way) => Math.round(Math.max(longest.get(way) ?? 0, now - (last.get(way) ?? now)));
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
      return ways.every((way) => (last.get(way) ?? 0) > oldest);
    },
    async stop(timeoutMs) {
      clearInterval(publishing);
      const deadline = performance.now() + timeoutMs;
      const isDone = () =>
        underWay.size === 0 && [...published].every((id) => consumed.has(id)) && followedUpTo >= savedUpTo;
      isSaving = false;
      await saving;
      while (!isDone() && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
      }
      isStopped = true;
      clearInterval(tending);
      await stopFollowing();
      await stopHandingOn();
      await stopConsuming();
      await stopWatching();
      return { published, consumed, savedUpTo, followedUpTo };
    },
  };
  return traffic;
}
