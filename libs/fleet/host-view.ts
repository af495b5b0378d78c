// The hosts as one process sees them: from their bucket, and at once from what they announce.
import type { Bus, Stop } from "../bus/bus.ts";
import { hosts } from "../contracts/buckets.ts";
import type { HostRecord } from "../contracts/fleet/host.ts";
import { hostChanges } from "../contracts/streams.ts";

export interface HostView {
  /** Every host that is registered, by id. Draining and silent ones too. */
  all(): HostRecord[];
  get(id: string): HostRecord | undefined;
  /** Calls after each change; `gone` is set when a host's registration was removed. */
  onChange(call: (host: HostRecord | undefined, id: string) => void): void;
  stop: Stop;
}

/** Follows the hosts until stopped. Answers when all that are registered are known. */
export async function watchHosts(bus: Bus): Promise<HostView> {
  const known = new Map<string, HostRecord>();
  /** Hosts whose registration was removed, with the revision of the removal. */
  const removed = new Map<string, number>();
  const listeners: ((host: HostRecord | undefined, id: string) => void)[] = [];
  const tell = (host: HostRecord | undefined, id: string) => {
    for (const listener of listeners) listener(host, id);
  };
  const take = (host: HostRecord) => {
    const present = known.get(host.hostId);
    // The bucket and the announcements race: an older life, or an older word of this one, is dropped.
    if (present !== undefined && !isNewer(host, present)) return;
    known.set(host.hostId, host);
    tell(host, host.hostId);
  };
  const stopListening = await bus.core.subscribe(hostChanges, (host) => {
    // A word of a life that was removed since, come late. If that host lives after all, it registers again.
    if (host.epoch > (removed.get(host.hostId) ?? 0)) take(host);
  });
  const stopWatching = await bus.kv.watch(hosts, ({ key, value, revision }) => {
    if (value !== undefined) {
      removed.delete(key);
      take(value);
      return;
    }
    removed.set(key, revision);
    if (known.delete(key)) tell(undefined, key);
  });
  return {
    all: () => [...known.values()],
    get: (id) => known.get(id),
    onChange: (call) => {
      listeners.push(call);
    },
    async stop() {
      await stopListening();
      await stopWatching();
    },
  };
}

const isNewer = (host: HostRecord, than: HostRecord): boolean =>
  host.epoch === than.epoch ? host.sequence > than.sequence : host.epoch > than.epoch;
