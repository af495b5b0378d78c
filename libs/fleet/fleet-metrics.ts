// What one process sees of the whole fleet, for Prometheus: every gateway tells the same, so that one is enough.
import type { Bus, StorageStats } from "../bus/bus.ts";
import { isProviderHost } from "../contracts/providers/provider.ts";
import { deadLetters } from "../contracts/streams.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Metrics } from "../runtime/metrics.ts";
import type { HostView } from "./host-view.ts";
import type { SessionView } from "./session-view.ts";

export interface FleetViews {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly hosts: HostView;
  readonly sessions: SessionView;
}

export function measureFleet(metrics: Metrics, seen: FleetViews): void {
  measureSessions(metrics, seen);
  measureStarts(metrics, seen);
  measureHosts(metrics, seen);
  measureStores(metrics, seen);
}

function measureSessions(metrics: Metrics, { sessions }: FleetViews): void {
  metrics.gauge(
    "greenroom_sessions",
    "Sessions of the fleet that have not ended, by state.",
    ["profile", "state"],
    (set) => {
      const counts = new Map<string, number>();
      for (const { record } of sessions.all()) {
        if (record.state === "ended") continue;
        const key = `${record.profile} ${record.state}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      for (const [key, count] of counts) {
        const [profile = "", state = ""] = key.split(" ");
        set(count, { profile, state });
      }
    },
  );
  metrics.gauge(
    "greenroom_queue_length",
    "Sessions of the fleet that wait for an agent.",
    ["profile"],
    (set) => {
      for (const { record } of sessions.waiting()) set(1, { profile: record.profile });
    },
  );
}

/** More starts than are under way at any time; what is past it is not measured. */
const UNDER_WAY = 10_000;

/** From when this process first saw a session until it saw it ready, on its own clock. */
function measureStarts(metrics: Metrics, { sessions }: FleetViews): void {
  const took = metrics.histogram(
    "greenroom_session_start_seconds",
    "From the first sight of a session to its first ready agent, by how warm that was. Every gateway measures every session: count by greenroom_sessions_ready_total instead.",
    ["warmth"],
  );
  const began = new Map<string, number>();
  sessions.onChange(({ key, seen }) => {
    if (seen === undefined) {
      began.delete(key);
      return;
    }
    const { record, seenAtMs } = seen;
    const isNew = record.state === "requested" || record.state === "dispatched";
    if (isNew && record.attempt === 1 && !began.has(key) && began.size < UNDER_WAY) began.set(key, seenAtMs);
    if (record.state !== "ready" && record.state !== "ended") return;
    const beganAt = began.get(key);
    began.delete(key);
    if (record.state === "ready" && beganAt !== undefined) {
      took((seenAtMs - beganAt) / 1000, { warmth: record.warm ?? "unknown" });
    }
  });
}

function measureHosts(metrics: Metrics, { hosts }: FleetViews): void {
  metrics.gauge("greenroom_hosts", "Agent-hosts that are registered.", ["draining"], (set) => {
    for (const { hostId: id, draining } of hosts.all())
      if (!isProviderHost(id)) set(1, { draining: String(draining) });
  });
  metrics.gauge(
    "greenroom_pool_agents",
    "Agents of the whole fleet: warm and hot ones are idle, busy ones serve.",
    ["profile", "state"],
    (set) => {
      for (const host of hosts.all()) {
        for (const [profile, { warm, hot, warming, busy }] of Object.entries(host.profiles)) {
          for (const [state, count] of Object.entries({ warm, hot, warming, busy }))
            set(count, { profile, state });
        }
      }
    },
  );
  metrics.gauge(
    "greenroom_pool_agents_max",
    "Agents of a profile that the fleet may have.",
    ["profile"],
    (set) => {
      for (const host of hosts.all()) {
        if (host.draining) continue;
        for (const [profile, { max }] of Object.entries(host.profiles)) set(max, { profile });
      }
    },
  );
}

/** Nobody asks NATS more often than this, however often one is asked. */
const FRESH_MS = 5000;

function measureStores(metrics: Metrics, { bus, clock }: FleetViews): void {
  let asked: { readonly atMs: number; readonly answer: Promise<StorageStats[]> } | undefined;
  const standings = (): Promise<StorageStats[]> => {
    if (asked === undefined || clock.monotonic() - asked.atMs > FRESH_MS) {
      // Without NATS these are told by nobody, which shows; all else still is.
      asked = { atMs: clock.monotonic(), answer: bus.admin.storageStats().catch(() => []) };
    }
    return asked.answer;
  };
  const perStore = (name: string, help: string, of: (store: StorageStats) => number) =>
    metrics.gauge(name, help, ["store"], async (set) => {
      for (const store of await standings()) set(of(store), { store: store.name });
    });
  perStore(
    "greenroom_store_messages",
    "Messages in a stream, or revisions in a bucket.",
    ({ messages }) => messages,
  );
  perStore("greenroom_store_bytes", "What a stream or bucket takes.", ({ bytes }) => bytes);
  perStore(
    "greenroom_store_usage_ratio",
    "From 0 to 1 of what a stream or bucket may take. Of sessions and SESSIONS, starts are refused from 0.9 on.",
    ({ bytes, maxBytes }) => (maxBytes === 0 ? 0 : bytes / maxBytes),
  );
  const perConsumer = (
    name: string,
    help: string,
    of: (consumer: StorageStats["consumers"][number]) => number,
  ) =>
    metrics.gauge(name, help, ["store", "consumer"], async (set) => {
      for (const { name: store, consumers } of await standings()) {
        for (const consumer of consumers) set(of(consumer), { store, consumer: consumer.durable });
      }
    });
  perConsumer(
    "greenroom_consumer_pending",
    "Stored and not yet handed to anybody of the consumer's name: how far the dispatchers are behind, for one.",
    ({ pending }) => pending,
  );
  perConsumer(
    "greenroom_consumer_ack_pending",
    "Handed out and not yet done.",
    ({ ackPending }) => ackPending,
  );
  metrics.gauge(
    "greenroom_dead_letters",
    "Messages that nobody could handle, of the last 7 days.",
    [],
    async (set) => {
      const letters = (await standings()).find(({ name }) => name === deadLetters.stream);
      if (letters !== undefined) set(letters.messages);
    },
  );
}
