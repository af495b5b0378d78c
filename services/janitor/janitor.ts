// The janitor: detects missed deadlines and lost hosts, deletes orphaned rooms, and purges. Several may run at once.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { sessionMetadata, sessions as sessionsBucket } from "../../libs/contracts/buckets.ts";
import type { SlotStatus } from "../../libs/contracts/fleet/host.ts";
import { agentIdentityOf, attemptRefOf, isReservedRoom, sessionKey } from "../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { roomEvents, sessionEvents } from "../../libs/contracts/streams.ts";
import { hasEnded } from "../../libs/domain/call/build-call.ts";
import { type HostView, watchHosts } from "../../libs/fleet/host-view.ts";
import { type SessionView, watchSessions } from "../../libs/fleet/session-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { isoNow, repeat } from "../../libs/runtime/clock.ts";
import { deleteConversations } from "./delete-conversations.ts";
import { findExpired, phaseOf } from "./find-expired.ts";
import { confirmOrphans, findOrphans, type Orphans } from "./find-orphans.ts";
import { LostHostHandler } from "./handle-lost-hosts.ts";
import { PurgeGuard } from "./purge-guard.ts";
import { RollupWriter } from "./rollup-writer.ts";

export interface JanitorDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  readonly settings: {
    readonly sweepMs: number;
    readonly keepEndedMs: number;
    /** How long an agent of a silent host may take to answer a ping. */
    readonly agentPingTimeoutMs: number;
  };
}

const TICK_MS = 500;
const PUBLISH_AGAIN_MS = 5000;
const FOLLOW_MS = 250;
const ROLLUP_MS = 5000;
const PURGE_MS = 5000;
/** A purge ends after this number of sessions without a call record, and leaves the others to the next. */
const UNRECORDED_MAX = 200;
/** Well below the time between the losses of two nodes. */
const REBALANCE_MS = 5000;

/** How long after the end of a session its room is closed again, if it is still there. */
const CLOSE_AGAIN_MS = 10 * 60_000;

/** Repeats what the dispatcher did at the end of the session. It is not known for older rooms. */
async function closeRoom(livekit: LiveKit, room: string, session: SessionRecord | undefined): Promise<void> {
  const isOwnRoom = isReservedRoom(room);
  // People may meet again in a room with a name of their own.
  if (session?.deleteRoom === true && isOwnRoom) return livekit.rooms.delete(room);
  const { identity, provider } = session ?? {};
  // A worker of LiveKit's that joins late is not known by its identity.
  const agent = provider === "livekit" ? "all" : (identity ?? (session && agentIdentityOf(session)));
  await livekit.rooms.close(room, { agent, isOwnRoom, hasFailed: false });
}

export async function startJanitor(deps: JanitorDeps): Promise<{ stop(): Promise<void> }> {
  const hosts = await watchHosts(deps.bus);
  const sessions = await watchSessions(deps.bus, deps.clock);
  const janitor = new Janitor(deps, hosts, sessions);
  const lostHosts = new LostHostHandler({
    ...deps,
    agentPingTimeoutMs: deps.settings.agentPingTimeoutMs,
    hosts: () => hosts.all(),
    records: () => sessions.all().map(({ record }) => record),
    publishLost: (record, reason) => janitor.publishLost(record, reason),
  });
  const every = (ms: number, doing: string, work: () => Promise<void>) =>
    repeat(deps.clock, ms, work, (error) => deps.log.warn({ error, retrying: true }, `failed to ${doing}`));
  const stops = [
    every(TICK_MS, "look for missed deadlines", () => janitor.publishExpired()),
    every(FOLLOW_MS, "follow the hosts", async () => lostHosts.follow()),
    every(ROLLUP_MS, "write rollups", () => janitor.writeRollups()),
    every(PURGE_MS, "purge ended sessions", () => janitor.purgeEnded()),
    every(deps.settings.sweepMs, "sweep rooms", () => janitor.sweepRooms()),
    every(REBALANCE_MS, "rebalance the streams", () => deps.bus.admin.rebalanceLeaders()),
    deleteConversations(deps, sessions),
  ];
  // A webhook is only a hint to sweep now, and is not trusted.
  const stopHints = await deps.bus.core.subscribe(roomEvents, ({ event }) => {
    if (event === "room_finished") void janitor.sweepRooms().catch(() => {});
  });
  return {
    async stop() {
      for (const stop of stops) stop();
      lostHosts.stop();
      await stopHints();
      await hosts.stop();
      await sessions.stop();
    },
  };
}

interface Since {
  readonly phase: string;
  readonly atMs: number;
  publishedAtMs: number;
  /** The last wait for an agent, also while a host is tried. */
  readonly wait: { readonly phase: string; readonly atMs: number } | undefined;
}

class Janitor {
  readonly #deps: JanitorDeps;
  readonly #hosts: HostView;
  readonly #sessions: SessionView;
  /** When this process first saw each session's phase, on its monotonic clock. */
  readonly #since = new Map<string, Since>();
  readonly #rollups: RollupWriter;
  readonly #unrecorded: PurgeGuard;
  #orphansBefore: Orphans | undefined;
  #isSweeping = false;

  constructor(deps: JanitorDeps, hosts: HostView, sessions: SessionView) {
    this.#deps = deps;
    this.#hosts = hosts;
    this.#sessions = sessions;
    this.#rollups = new RollupWriter(deps.bus);
    this.#unrecorded = new PurgeGuard(deps);
    sessions.onChange(({ key, seen }) => this.#follow(seen?.record, key));
    for (const { key, record } of sessions.all()) this.#follow(record, key);
  }

  async publishExpired(): Promise<void> {
    const now = this.#deps.clock.monotonic();
    const aged = this.#sessions.all().flatMap(({ record }) => {
      const seen = this.#since.get(sessionKey(record));
      return seen === undefined || record.state === "ended" ? [] : [{ record, ageMs: now - seen.atMs }];
    });
    const expired = findExpired(aged, (record) => this.#slotOf(record), isoNow(this.#deps.clock));
    for (const event of expired) {
      const seen = this.#since.get(sessionKey(event));
      // The event is stored, so once is enough. A repetition is for a dispatcher that could not use it yet.
      if (seen === undefined || now - seen.publishedAtMs < PUBLISH_AGAIN_MS) continue;
      this.#deps.log.info(
        { sessionId: event.sessionId, attempt: event.attempt, reason: event.reason },
        "a session exceeded a deadline",
      );
      await this.#publish(event);
      // Set last, so that an event that was not stored is repeated.
      seen.publishedAtMs = now;
    }
  }

  /** Skipped without LiveKit, and for simulated rooms, which each process has for itself. */
  async sweepRooms(): Promise<void> {
    const { livekit, log } = this.#deps;
    if (livekit === undefined || livekit.isSimulated || this.#isSweeping) return;
    this.#isSweeping = true;
    try {
      const rooms = await livekit.rooms.list();
      const records = this.#sessions.all().map(({ record }) => record);
      const justEnded = records.filter((record) => this.#hasJustEnded(record));
      const now = findOrphans(
        rooms.map((room) => room.name),
        records,
        this.#hosts.all(),
        justEnded,
      );
      const orphans = confirmOrphans(this.#orphansBefore, now);
      this.#orphansBefore = now;
      for (const room of orphans.rooms) {
        log.debug({ room }, "closing an orphaned room, unless people are in it");
        await closeRoom(
          livekit,
          room,
          justEnded.find((record) => record.room === room),
        );
      }
      for (const record of orphans.sessions)
        await this.publishLost(record, `LiveKit has no room ${record.room} any more`);
    } finally {
      this.#isSweeping = false;
    }
  }

  /** Whether the session ended so lately that its room may not have been closed. */
  #hasJustEnded(record: SessionRecord): boolean {
    const seen = this.#since.get(sessionKey(record));
    return (
      record.state === "ended" &&
      seen !== undefined &&
      this.#deps.clock.monotonic() - seen.atMs < CLOSE_AGAIN_MS
    );
  }

  writeRollups(): Promise<void> {
    return this.#rollups.write(() => this.#sessions.all().map(({ record }) => record));
  }

  async purgeEnded(): Promise<void> {
    const { bus, clock, log, settings } = this.#deps;
    const now = clock.monotonic();
    let unrecorded = 0;
    for (const { record, revision } of this.#sessions.all()) {
      if (!hasEnded(record) || !this.#rollups.has(record)) continue;
      const key = sessionKey(record);
      const seen = this.#since.get(key);
      const keptMs = seen === undefined ? 0 : now - seen.atMs;
      if (seen === undefined || keptMs < settings.keepEndedMs) continue;
      if (!(await this.#unrecorded.canPurge(record, keptMs, settings.keepEndedMs))) {
        unrecorded += 1;
        if (unrecorded === UNRECORDED_MAX) return;
        continue;
      }
      // Before the record, which alone knows that there is something to delete.
      if (record.stored !== undefined) await bus.admin.purge(sessionMetadata, `${key}.*`);
      if (await bus.kv.delete(sessionsBucket, key, revision))
        log.debug({ sessionId: record.sessionId }, "purged the record of an ended session");
    }
  }

  #follow(record: SessionRecord | undefined, key: string): void {
    if (record === undefined) {
      this.#since.delete(key);
      return;
    }
    this.#rollups.note(record);
    const phase = phaseOf(record);
    const before = this.#since.get(key);
    if (before?.phase === phase) return;
    const now = this.#deps.clock.monotonic();
    // A host that declines returns the session to its wait, which has continued.
    const wait =
      record.state !== "requested" || before?.wait?.phase === phase ? before?.wait : { phase, atMs: now };
    const atMs = record.state === "requested" ? (wait?.atMs ?? now) : now;
    this.#since.set(key, { phase, atMs, publishedAtMs: Number.NEGATIVE_INFINITY, wait });
  }

  #slotOf(record: SessionRecord): SlotStatus | undefined {
    const host = record.host === undefined ? undefined : this.#hosts.get(record.host);
    if (host === undefined || host.epoch !== record.hostEpoch) return undefined;
    return host.processes
      .flatMap(({ slots }) => slots)
      .find(
        (slot) =>
          slot.sessionId === record.sessionId &&
          slot.tenant === record.tenant &&
          slot.attempt === record.attempt,
      );
  }

  async publishLost(record: SessionRecord, reason: string): Promise<void> {
    await this.#publish({
      type: "agent_lost",
      ...attemptRefOf(record),
      ...(record.state === "dispatched" ? { state: record.state } : {}),
      at: isoNow(this.#deps.clock),
      reason,
    });
  }

  async #publish(event: SessionEvent): Promise<void> {
    await this.#deps.bus.streams.publish(sessionEvents, event);
  }
}
