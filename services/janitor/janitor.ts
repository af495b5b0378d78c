// The janitor: says what did not happen, and cleans up what nobody needs. Several of them do no harm.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { sessions as sessionsBucket } from "../../libs/contracts/buckets.ts";
import type { SlotStatus } from "../../libs/contracts/fleet/host.ts";
import { attemptRefOf, sessionKey } from "../../libs/contracts/ids.ts";
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
    /** How long an agent of a silent host may take to answer whether it lives. */
    readonly aliveMs: number;
  };
}

const TICK_MS = 500;
const SAY_AGAIN_MS = 5000;
const FOLLOW_MS = 250;
const ROLL_UP_MS = 5000;
const PURGE_MS = 5000;
/** Sessions whose call isn't recorded yet, after which a purge leaves the others to the next. */
const UNRECORDED_MAX = 200;
/** With room to spare within the time after which a node's loss may be followed by another's. */
const TEND_MS = 5000;

export async function startJanitor(deps: JanitorDeps): Promise<{ stop(): Promise<void> }> {
  const hosts = await watchHosts(deps.bus);
  const sessions = await watchSessions(deps.bus, deps.clock);
  const janitor = new Janitor(deps, hosts, sessions);
  const lostHosts = new LostHostHandler({
    ...deps,
    aliveMs: deps.settings.aliveMs,
    hosts: () => hosts.all(),
    records: () => sessions.all().map(({ record }) => record),
    publishLost: (record, reason) => janitor.sayLost(record, reason),
  });
  const again = (ms: number, doing: string, work: () => Promise<void>) =>
    repeat(deps.clock, ms, work, (error) => deps.log.warn({ error }, `${doing} failed; it is tried again`));
  const stops = [
    again(TICK_MS, "looking for what is overdue", () => janitor.sayOverdue()),
    again(FOLLOW_MS, "looking which hosts there are", async () => lostHosts.follow()),
    again(ROLL_UP_MS, "rolling up", () => janitor.rollUp()),
    again(PURGE_MS, "purging", () => janitor.purgeEnded()),
    again(deps.settings.sweepMs, "sweeping rooms", () => janitor.sweepRooms()),
    again(TEND_MS, "looking after the streams", () => deps.bus.admin.rebalanceLeaders()),
    deleteConversations(deps, sessions),
  ];
  // A webhook says that a room is over: look now instead of at the next sweep; what it says is not believed.
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
  saidAtMs: number;
  /** The last wait for an agent, also while a host is being tried. */
  readonly wait: { readonly phase: string; readonly atMs: number } | undefined;
}

class Janitor {
  readonly #deps: JanitorDeps;
  readonly #hosts: HostView;
  readonly #sessions: SessionView;
  /** When each session's present phase was first seen, on this process's monotonic clock. */
  readonly #since = new Map<string, Since>();
  readonly #rollUps: RollupWriter;
  readonly #unrecorded: PurgeGuard;
  #orphansBefore: Orphans | undefined;
  #isSweeping = false;

  constructor(deps: JanitorDeps, hosts: HostView, sessions: SessionView) {
    this.#deps = deps;
    this.#hosts = hosts;
    this.#sessions = sessions;
    this.#rollUps = new RollupWriter(deps.bus);
    this.#unrecorded = new PurgeGuard(deps);
    sessions.onChange(({ key, seen }) => this.#follow(seen?.record, key));
    for (const { key, record } of sessions.all()) this.#follow(record, key);
  }

  async sayOverdue(): Promise<void> {
    const now = this.#deps.clock.monotonic();
    const aged = this.#sessions.all().flatMap(({ record }) => {
      const seen = this.#since.get(sessionKey(record));
      return seen === undefined || record.state === "ended" ? [] : [{ record, ageMs: now - seen.atMs }];
    });
    const overdue = findExpired(aged, (record) => this.#slotOf(record), isoNow(this.#deps.clock));
    for (const event of overdue) {
      const seen = this.#since.get(sessionKey(event));
      // Once is enough, since it is stored; after a while again, in case the dispatcher couldn't use it yet.
      if (seen === undefined || now - seen.saidAtMs < SAY_AGAIN_MS) continue;
      this.#deps.log.info(
        { sessionId: event.sessionId, attempt: event.attempt, reason: event.reason },
        "deadline_exceeded",
      );
      await this.#say(event);
      // Only now: what could not be stored is said again at the next look.
      seen.saidAtMs = now;
    }
  }

  /** Nothing is decided while LiveKit can't be asked, nor about simulated rooms, which each process has apart. */
  async sweepRooms(): Promise<void> {
    const { livekit, log } = this.#deps;
    if (livekit === undefined || livekit.isSimulated || this.#isSweeping) return;
    this.#isSweeping = true;
    try {
      const rooms = await livekit.rooms.list();
      const records = this.#sessions.all().map(({ record }) => record);
      const now = findOrphans(
        rooms.map((room) => room.name),
        records,
        this.#hosts.all(),
      );
      const sure = confirmOrphans(this.#orphansBefore, now);
      this.#orphansBefore = now;
      for (const room of sure.rooms) {
        log.info({ room }, "a room that no session needs is deleted");
        await livekit.rooms.delete(room);
      }
      for (const record of sure.sessions)
        await this.sayLost(record, `LiveKit has no room ${record.room} any more`);
    } finally {
      this.#isSweeping = false;
    }
  }

  rollUp(): Promise<void> {
    return this.#rollUps.write(() => this.#sessions.all().map(({ record }) => record));
  }

  async purgeEnded(): Promise<void> {
    const { bus, clock, log, settings } = this.#deps;
    const now = clock.monotonic();
    let unrecorded = 0;
    for (const { record, revision } of this.#sessions.all()) {
      if (!hasEnded(record) || !this.#rollUps.has(record)) continue;
      const key = sessionKey(record);
      const seen = this.#since.get(key);
      const keptMs = seen === undefined ? 0 : now - seen.atMs;
      if (seen === undefined || keptMs < settings.keepEndedMs) continue;
      if (!(await this.#unrecorded.canPurge(record, keptMs, settings.keepEndedMs))) {
        unrecorded += 1;
        if (unrecorded === UNRECORDED_MAX) return;
        continue;
      }
      if (await bus.kv.delete(sessionsBucket, key, revision))
        log.debug({ sessionId: record.sessionId }, "a record is purged");
    }
  }

  #follow(record: SessionRecord | undefined, key: string): void {
    if (record === undefined) {
      this.#since.delete(key);
      return;
    }
    this.#rollUps.note(record);
    const phase = phaseOf(record);
    const before = this.#since.get(key);
    if (before?.phase === phase) return;
    const now = this.#deps.clock.monotonic();
    // A host that declines brings the session back to where it was: its wait went on behind that.
    const wait =
      record.state !== "requested" || before?.wait?.phase === phase ? before?.wait : { phase, atMs: now };
    const atMs = record.state === "requested" ? (wait?.atMs ?? now) : now;
    this.#since.set(key, { phase, atMs, saidAtMs: Number.NEGATIVE_INFINITY, wait });
  }

  #slotOf(record: SessionRecord): SlotStatus | undefined {
    const host = record.host === undefined ? undefined : this.#hosts.get(record.host);
    if (host === undefined || host.epoch !== record.hostEpoch) return undefined;
    return host.processes
      .flatMap((stage) => stage.slots)
      .find(
        (slot) =>
          slot.sessionId === record.sessionId &&
          slot.tenant === record.tenant &&
          slot.attempt === record.attempt,
      );
  }

  async sayLost(record: SessionRecord, reason: string): Promise<void> {
    await this.#say({
      type: "agent_lost",
      ...attemptRefOf(record),
      ...(record.state === "dispatched" ? { state: record.state } : {}),
      at: isoNow(this.#deps.clock),
      reason,
    });
  }

  async #say(event: SessionEvent): Promise<void> {
    await this.#deps.bus.streams.publish(sessionEvents, event);
  }
}
