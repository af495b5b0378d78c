// Tells the fleet what a host has: at once to whoever listens, and soon in its bucket.
import { type Bus, getOwn } from "../../libs/bus/bus.ts";
import { hosts } from "../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { hostChanges } from "../../libs/contracts/streams.ts";
import { type Clock, repeat } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";

/** The bucket follows at this pace: it is for those who come later, and every write is stored. */
const SAVE_EVERY_MS = 250;
const BEAT_MS = 2000;

export interface HostRegistration {
  /** The host's life: the revision of its registration. */
  readonly epoch: number;
  sequence(): number;
  /** Says what stands now; several calls in one turn say it once. */
  publish(): void;
  /** Takes the registration back. */
  stop(): Promise<void>;
}

/**
 * Registers a host and keeps its record true.
 *
 * @param present what the host has; epoch and sequence are filled in here.
 */
export async function registerHost(
  deps: { bus: Bus; clock: Clock; log: Log; onSupplanted: (reason: string) => void },
  hostId: string,
  present: () => Omit<HostRecord, "epoch" | "sequence">,
): Promise<HostRegistration> {
  const { bus, clock, log } = deps;
  const former = await getOwn(bus, hosts, hostId);
  let revision = await bus.kv.update(hosts, { ...present(), epoch: 0, sequence: 0 }, former.revision);
  if (revision === undefined) {
    throw new GreenroomError(
      "conflict",
      `Another process registers as host ${hostId}: give each its own GREENROOM_HOST_ID.`,
    );
  }
  const epoch = revision;
  let sequence = 0;
  let isDue = false;
  let isStopped = false;
  let savedSequence = -1;
  let saving = Promise.resolve();

  const record = (): HostRecord => ({ ...present(), epoch, sequence });
  const say = () => {
    isDue = false;
    if (isStopped) return;
    sequence += 1;
    bus.core.publishTransient(hostChanges, record());
  };
  const save = async () => {
    if (isStopped || savedSequence === sequence) return;
    const now = record();
    const saved = await bus.kv.update(hosts, now, revision ?? 0);
    if (saved !== undefined) {
      revision = saved;
      savedSequence = now.sequence;
      return;
    }
    const stored = await getOwn(bus, hosts, hostId);
    if (stored.value !== undefined && stored.value.epoch !== epoch) {
      deps.onSupplanted(`another process has registered as host ${hostId}`);
      return;
    }
    // A janitor took this host for lost and removed it, an answer was lost, or somebody wrote nonsense there: go on
    // from what stands there.
    revision = stored.revision;
  };
  const stopSaving = repeat(
    clock,
    SAVE_EVERY_MS,
    () => {
      saving = save();
      return saving;
    },
    (error) => log.warn({ error }, "the host's record could not be saved; it is tried again"),
  );
  const stopBeating = repeat(clock, BEAT_MS, say, () => {});
  say();
  return {
    epoch,
    sequence: () => sequence,
    publish() {
      if (isDue || isStopped) return;
      isDue = true;
      queueMicrotask(say);
    },
    async stop() {
      isStopped = true;
      stopSaving();
      stopBeating();
      await saving.catch(() => {});
      const stored = await getOwn(bus, hosts, hostId);
      if (stored.value?.epoch === epoch || stored.value?.epoch === 0)
        await bus.kv.delete(hosts, hostId, stored.revision);
    },
  };
}
