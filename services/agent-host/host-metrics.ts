// The metrics of a host, taken from the record that it publishes at every change.
import os from "node:os";
import type { BusHooks } from "../../libs/bus/instrumented-bus.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { hostChanges } from "../../libs/contracts/streams.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";

/** Hooks that observe every published host record. */
export function measureHost(metrics: Metrics): BusHooks {
  let latest: HostRecord | undefined;
  const nodename = os.hostname();
  const ofLatest =
    (value: (host: HostRecord) => number) =>
    (set: (value: number, labels: { nodename: string }) => void): void => {
      if (latest !== undefined) set(value(latest), { nodename });
    };
  // LiveKit's own names and label, so that dashboards made for its workers fit.
  metrics.gauge("lk_agents_active_job_count", "Active jobs", ["nodename"], ofLatest(busyOf));
  metrics.gauge(
    "lk_agents_worker_load",
    "Worker load percentage",
    ["nodename"],
    ofLatest(({ load }) => load),
  );
  metrics.gauge(
    "lk_agents_child_process_count",
    "Total number of child processes",
    ["nodename"],
    ofLatest(({ processes }) => processes.length),
  );
  metrics.gauge(
    "greenroom_host_agents",
    "Agents on this host, by what they do.",
    ["profile", "state"],
    (set) => {
      for (const [profile, { warm, hot, warming, busy }] of Object.entries(latest?.profiles ?? {})) {
        for (const [state, count] of Object.entries({ warm, hot, warming, busy }))
          set(count, { profile, state });
      }
    },
  );
  metrics.gauge("greenroom_host_agents_max", "Agents that may be busy on this host at once.", [], (set) => {
    if (latest !== undefined) set(latest.maxAgents);
  });
  metrics.gauge("greenroom_host_draining", "1 while this host takes nothing new.", [], (set) => {
    if (latest !== undefined) set(latest.draining ? 1 : 0);
  });
  metrics.gauge(
    "greenroom_agent_process_memory_bytes",
    "Memory of the largest agent process of each profile, as last reported.",
    ["profile"],
    (set) => {
      const largest = new Map<string, number>();
      for (const { profile, memoryMb = 0 } of latest?.processes ?? []) {
        largest.set(profile, Math.max(largest.get(profile) ?? 0, memoryMb));
      }
      for (const [profile, megabytes] of largest) set(megabytes * 1_048_576, { profile });
    },
  );
  const agents = metrics.counter(
    "greenroom_host_agents_total",
    "Agents that this host started (spawned), gave to sessions (assigned), and lost while they served (lost).",
    ["what"],
  );
  const rejections = metrics.counter(
    "greenroom_agent_unhandled_rejections_total",
    "Rejected promises of agent files that nobody awaited.",
    [],
  );
  let counted: HostRecord["stats"] = { spawned: 0, assigned: 0, lost: 0, unhandledRejections: 0 };
  return {
    published(topic, message) {
      if (topic.subject !== hostChanges.subject) return;
      latest = message as HostRecord;
      for (const what of ["spawned", "assigned", "lost"] as const) {
        if (latest.stats[what] > counted[what]) agents({ what }, latest.stats[what] - counted[what]);
      }
      const more = latest.stats.unhandledRejections - counted.unhandledRejections;
      if (more > 0) rejections({}, more);
      counted = { ...latest.stats };
    },
  };
}

const busyOf = ({ profiles }: HostRecord): number =>
  Object.values(profiles).reduce((sum, { busy }) => sum + busy, 0);
