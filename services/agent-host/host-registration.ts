// Registers a host, and publishes its record: at once to subscribers, and soon in the bucket.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { RecordWriter } from "../../libs/bus/record-writer.ts";
import { hosts } from "../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { hostChanges } from "../../libs/contracts/streams.ts";
import { type Clock, repeat } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";

/** The bucket serves processes that start later, so it may be behind. */
const SAVE_EVERY_MS = 250;
const HEARTBEAT_MS = 2000;

export interface HostRegistration {
  /** The host's incarnation: the revision of its registration. */
  readonly epoch: number;
  sequence(): number;
  /** Publishes the present record; several calls in one turn publish it once. */
  publish(): void;
  /** Removes the registration. */
  stop(): Promise<void>;
}

/**
 * Registers a host and keeps its record up to date.
 *
 * @param present what the host has; epoch and sequence are added here.
 * @throws GreenroomError conflict when another process registers under the same id
 */
export async function registerHost(
  deps: { bus: Bus; clock: Clock; log: Log; onSupplanted: (reason: string) => void },
  hostId: string,
  present: () => Omit<HostRecord, "epoch" | "sequence">,
): Promise<HostRegistration> {
  const { bus, clock, log } = deps;
  const previous = await getOwn(bus, hosts, hostId);
  const epoch = await bus.kv.update(hosts, { ...present(), epoch: 0, sequence: 0 }, previous.revision);
  if (epoch === undefined) {
    throw new GreenroomError(
      "conflict",
      `Another process registers as host ${hostId}. Give each host its own GREENROOM_HOST_ID.`,
    );
  }
  let sequence = 0;
  let savedSequence = -1;
  let isDue = false;
  let isStopped = false;
  const record = (): HostRecord => ({ ...present(), epoch, sequence });
  const publish = () => {
    isDue = false;
    if (isStopped) return;
    sequence += 1;
    bus.core.publishTransient(hostChanges, record());
  };
  const writer = new RecordWriter({
    ...{ bus, clock, log, bucket: hosts, key: hostId, revision: epoch },
    ...{ what: "the host's record", fields: { hostId } },
    // A record may be missing because a janitor took this host for lost.
    mayWrite(stored, revision) {
      const isOwn = stored === undefined || stored.epoch === epoch || revision === epoch;
      if (!isOwn) deps.onSupplanted(`another process has registered as host ${hostId}`);
      return isOwn;
    },
  });
  const save = () => {
    if (savedSequence === sequence) return;
    savedSequence = sequence;
    writer.write(record);
  };
  const stopSaving = repeat(clock, SAVE_EVERY_MS, save, () => {});
  const stopHeartbeat = repeat(clock, HEARTBEAT_MS, publish, () => {});
  publish();
  return {
    epoch,
    sequence: () => sequence,
    publish() {
      if (isDue || isStopped) return;
      isDue = true;
      queueMicrotask(publish);
    },
    async stop() {
      isStopped = true;
      stopSaving();
      stopHeartbeat();
      await writer.stop();
      const stored = await getOwn(bus, hosts, hostId);
      if (stored.value?.epoch === epoch || stored.value?.epoch === 0)
        await bus.kv.delete(hosts, hostId, stored.revision);
    },
  };
}
