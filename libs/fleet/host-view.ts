// The view that one process has of the hosts: from their bucket, and earlier from their publications.
import type { Bus, Stop } from "../bus/bus.ts";
import { hosts } from "../contracts/buckets.ts";
import type { HostRecord } from "../contracts/fleet/host.ts";
import { hostChanges } from "../contracts/streams.ts";

export interface HostView {
  /** All registered hosts, also draining and silent ones. */
  all(): HostRecord[];
  get(id: string): HostRecord | undefined;
  /** Calls after each change. `host` is undefined after a host's registration was deleted. */
  onChange(call: (host: HostRecord | undefined, id: string) => void): void;
  stop: Stop;
}

/** Watches the hosts until stopped. Resolves when all registered hosts are known. */
export async function watchHosts(bus: Bus): Promise<HostView> {
  const known = new Map<string, HostRecord>();
  /** Deleted hosts, with the revision of the deletion. */
  const removed = new Map<string, number>();
  const listeners: ((host: HostRecord | undefined, id: string) => void)[] = [];
  const notify = (host: HostRecord | undefined, id: string) => {
    for (const listener of listeners) listener(host, id);
  };
  const apply = (host: HostRecord) => {
    const present = known.get(host.hostId);
    // The bucket and the publications race, so records of an older epoch or sequence are dropped.
    if (present !== undefined && !isNewer(host, present)) return;
    known.set(host.hostId, host);
    notify(host, host.hostId);
  };
  const unsubscribe = await bus.core.subscribe(hostChanges, (host) => {
    // Drops a late publication of a deleted registration. If the host is alive after all, it registers again.
    if (host.epoch > (removed.get(host.hostId) ?? 0)) apply(host);
  });
  const stopWatching = await bus.kv.watch(hosts, ({ key, value, revision }) => {
    if (value !== undefined) {
      removed.delete(key);
      apply(value);
      return;
    }
    removed.set(key, revision);
    if (known.delete(key)) notify(undefined, key);
  });
  return {
    all: () => [...known.values()],
    get: (id) => known.get(id),
    onChange: (call) => {
      listeners.push(call);
    },
    async stop() {
      await unsubscribe();
      await stopWatching();
    },
  };
}

const isNewer = (host: HostRecord, than: HostRecord): boolean =>
  host.epoch === than.epoch ? host.sequence > than.sequence : host.epoch > than.epoch;
