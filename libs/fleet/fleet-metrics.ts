// Metrics of the whole fleet for Prometheus. Every gateway reports the same values, so one of them is enough.
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

/** The most starts in progress that are measured. */
const MEASURED_STARTS = 10_000;

/** The time from the first sight of a session to its readiness, on this process's clock. */
function measureStarts(metrics: Metrics, { sessions }: FleetViews): void {
  const took = metrics.histogram(
    "greenroom_session_start_seconds",
    "Time from the first sight of a session to its first ready agent, by warmth. Every gateway measures every session: to count them, use greenroom_sessions_ready_total.",
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
    if (isNew && record.attempt === 1 && !began.has(key) && began.size < MEASURED_STARTS)
      began.set(key, seenAtMs);
    if (record.state !== "ready" && record.state !== "ended") return;
    const beganAt = began.get(key);
    began.delete(key);
    if (record.state === "ready" && beganAt !== undefined) {
      took((seenAtMs - beganAt) / 1000, { warmth: record.warm ?? "unknown" });
    }
  });
}

function measureHosts(metrics: Metrics, { hosts }: FleetViews): void {
  metrics.gauge("greenroom_hosts", "Registered hosts.", ["draining"], (set) => {
    for (const { hostId: id, draining } of hosts.all())
      if (!isProviderHost(id)) set(1, { draining: String(draining) });
  });
  metrics.gauge(
    "greenroom_pool_agents",
    "Agents of the fleet: warm and hot agents are idle, busy agents serve a session.",
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
    "Maximum number of agents of a profile in the fleet.",
    ["profile"],
    (set) => {
      for (const host of hosts.all()) {
        if (host.draining) continue;
        for (const [profile, { max }] of Object.entries(host.profiles)) set(max, { profile });
      }
    },
  );
}

/** NATS is asked at most this often, however often the metrics are read. */
const FRESH_MS = 5000;

function measureStores(metrics: Metrics, { bus, clock }: FleetViews): void {
  let cached: { readonly atMs: number; readonly answer: Promise<StorageStats[]> } | undefined;
  const storageStats = (): Promise<StorageStats[]> => {
    if (cached === undefined || clock.monotonic() - cached.atMs > FRESH_MS) {
      // Without NATS these metrics are missing, and all others remain.
      cached = { atMs: clock.monotonic(), answer: bus.admin.storageStats().catch(() => []) };
    }
    return cached.answer;
  };
  const perStore = (name: string, help: string, of: (store: StorageStats) => number) =>
    metrics.gauge(name, help, ["store"], async (set) => {
      for (const store of await storageStats()) set(of(store), { store: store.name });
    });
  perStore(
    "greenroom_store_messages",
    "Messages in a stream, or revisions in a bucket.",
    ({ messages }) => messages,
  );
  perStore("greenroom_store_bytes", "Size of a stream or bucket.", ({ bytes }) => bytes);
  perStore(
    "greenroom_store_usage_ratio",
    "Used share, from 0 to 1, of the maximum size of a stream or bucket. Starts are refused from 0.9 of sessions or SESSIONS on.",
    ({ bytes, maxBytes }) => (maxBytes === 0 ? 0 : bytes / maxBytes),
  );
  const perConsumer = (
    name: string,
    help: string,
    of: (consumer: StorageStats["consumers"][number]) => number,
  ) =>
    metrics.gauge(name, help, ["store", "consumer"], async (set) => {
      for (const { name: store, consumers } of await storageStats()) {
        for (const consumer of consumers) set(of(consumer), { store, consumer: consumer.durable });
      }
    });
  perConsumer(
    "greenroom_consumer_pending",
    "Messages that are stored and not yet delivered to a consumer, for example the backlog of the dispatchers.",
    ({ pending }) => pending,
  );
  perConsumer(
    "greenroom_consumer_ack_pending",
    "Messages that are delivered and not yet acked.",
    ({ ackPending }) => ackPending,
  );
  metrics.gauge("greenroom_dead_letters", "Dead letters of the last 7 days.", [], async (set) => {
    const letters = (await storageStats()).find(({ name }) => name === deadLetters.stream);
    if (letters !== undefined) set(letters.messages);
  });
}
