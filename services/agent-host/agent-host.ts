// The agent-host: supervises stages, gives agents to sessions, and says what becomes of them.
import type { Bus } from "../../libs/bus/bus.ts";
import { pools as poolsBucket } from "../../libs/contracts/buckets.ts";
import { assignCommand, pingCommand, releaseCommand } from "../../libs/contracts/channels.ts";
import type { HostRecord } from "../../libs/contracts/host.ts";
import { STANDBY_PREFIX } from "../../libs/contracts/ids.ts";
import { PoolSettings, type PoolTarget } from "../../libs/contracts/pool.ts";
import { type HostView, watchHosts } from "../../libs/fleet/host-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { type Clock, isoNow, repeat, sleep } from "../../libs/process/clock.ts";
import type { Log } from "../../libs/process/log.ts";
import { type Announcer, register } from "./announcer.ts";
import { Assignments } from "./assignments.ts";
import type { ProfileFile } from "./find-profiles.ts";
import type { Standby } from "./heater.ts";
import { SessionReports } from "./session-reports.ts";
import { sharePool } from "./share-pool.ts";
import type { Slot } from "./slots.ts";
import { SpawnGate } from "./spawn-gate.ts";
import type { LaunchStage } from "./stage-link.ts";
import { type PoolListener, WarmPool } from "./warm-pool.ts";

export interface AgentHostDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  readonly hostId: string;
  readonly pid: number;
  readonly profiles: readonly ProfileFile[];
  readonly launch: LaunchStage;
  /** Names for slots and stages, never the same twice in the fleet: a hot agent's identity is made of it. */
  readonly newId: () => string;
  readonly onSupplanted: (why: string) => void;
  readonly settings: {
    readonly maxAgents: number;
    readonly poolMin: number;
    readonly stageMemoryMb: number;
    readonly stagePingMs: number;
    readonly userLeftMs: number;
    readonly logLevel: string;
  };
}

export interface AgentHost {
  readonly epoch: number;
  /** Takes no new sessions, lets running ones finish for `limitMs`, then gives the rest up and leaves. */
  drain(limitMs: number): Promise<void>;
}

const SPAWNS_AT_ONCE = 4;
const CHECK_RECORDS_MS = 2000;
const LEAVE_MS = 4000;
/** LiveKit closes a room that no human comes to; a standby room has to last as long as its agent. */
const STANDBY_EMPTY_S = 24 * 60 * 60;
const STANDBY_TOKEN_TTL_S = 60;

export async function startAgentHost(deps: AgentHostDeps): Promise<AgentHost> {
  const host = new Host(deps);
  await host.start();
  return host;
}

class Host implements AgentHost {
  readonly #deps: AgentHostDeps;
  readonly #pools = new Map<string, WarmPool>();
  readonly #targets = new Map<string, PoolTarget>();
  readonly #assignments: Assignments;
  readonly #reports: SessionReports;
  readonly #userTimers = new Map<Slot, () => void>();
  readonly #startedAt: string;
  readonly #stops: (() => Promise<void> | void)[] = [];
  #announcer: Announcer | undefined;
  #hosts: HostView | undefined;
  readonly #discards = new Set<Promise<void>>();
  #isDraining = false;
  #lost = 0;

  constructor(deps: AgentHostDeps) {
    this.#deps = deps;
    this.#startedAt = isoNow(deps.clock);
    const common = {
      bus: deps.bus,
      clock: deps.clock,
      log: deps.log,
      hostId: deps.hostId,
      epoch: () => this.epoch,
    };
    this.#reports = new SessionReports(common);
    this.#assignments = new Assignments({
      ...common,
      pools: this.#pools,
      refuses: () =>
        this.#isDraining ? "the host is draining" : this.#isFull() ? "the host is full" : undefined,
    });
    const gate = new SpawnGate(SPAWNS_AT_ONCE);
    for (const file of deps.profiles) this.#pools.set(file.profile, this.#makePool(file, gate));
  }

  get epoch(): number {
    return this.#announcer?.epoch ?? 0;
  }

  async start(): Promise<void> {
    const { bus, clock, hostId, log, onSupplanted } = this.#deps;
    this.#announcer = await register({ bus, clock, log, onSupplanted }, hostId, () => this.#record());
    this.#hosts = await watchHosts(bus);
    this.#hosts.onChange(() => this.#shareOut());
    this.#stops.push(
      this.#hosts.stop,
      await bus.serve(assignCommand, hostId, (assign) => this.#assignments.onAssign(assign)),
      await bus.serve(releaseCommand, hostId, async (release) => this.#assignments.onRelease(release)),
      await bus.serve(pingCommand, hostId, async () => ({
        id: hostId,
        epoch: this.epoch,
        sequence: this.#announcer?.sequence() ?? 0,
      })),
      await bus.watch(poolsBucket, ({ key, value }) => {
        if (value === undefined) this.#targets.delete(key);
        else this.#targets.set(key, value);
        this.#shareOut();
      }),
      repeat(
        clock,
        CHECK_RECORDS_MS,
        () => this.#assignments.checkRecords(),
        (error) => log.debug({ error }, "records could not be checked; calls go on"),
      ),
    );
    for (const pool of this.#pools.values()) pool.probe();
  }

  async drain(limitMs: number): Promise<void> {
    const { clock, log } = this.#deps;
    this.#isDraining = true;
    for (const pool of this.#pools.values()) pool.drain();
    this.#announcer?.announce();
    const since = clock.monotonic();
    if (this.#assignments.count > 0) log.info({ sessions: this.#assignments.count, limitMs }, "draining");
    while (this.#assignments.count > 0 && clock.monotonic() - since < limitMs) await sleep(clock, 50);
    for (const pool of this.#pools.values()) {
      for (const slot of pool.busySlots()) this.#onLost(slot, "the host stopped before the session was over");
    }
    // Without NATS none of this would end, and the agents' processes must: what is left, the janitor finds.
    await Promise.race([this.#leave(), sleep(clock, LEAVE_MS)]);
    for (const pool of this.#pools.values()) pool.stop();
  }

  /** Says what is left to say, and takes the registration back. */
  async #leave(): Promise<void> {
    await Promise.all([this.#reports.settle(), ...this.#discards]);
    for (const stop of this.#stops) await stop();
    await this.#announcer?.stop().catch((error: unknown) => {
      this.#deps.log.debug({ error }, "the registration stays behind");
    });
  }

  #makePool(file: ProfileFile, gate: SpawnGate): WarmPool {
    const { clock, hostId, launch, livekit, log, newId, settings } = this.#deps;
    return new WarmPool({
      clock,
      log,
      launch,
      gate,
      newId,
      pingMs: settings.stagePingMs,
      memoryLimitMb: settings.stageMemoryMb,
      start: {
        profile: file.profile,
        file: file.file,
        host: hostId,
        livekitUrl: livekit?.url ?? "",
        livekitApiKey: livekit?.apiKey ?? "",
        livekitApiSecret: livekit?.apiSecret ?? "",
        simulated: livekit?.isSimulated ?? false,
        logLevel: settings.logLevel,
      },
      standby: livekit === undefined ? undefined : this.#standbyIn(livekit),
      listener: this.#listenerFor(file),
    });
  }

  #standbyIn({ rooms, tokens }: LiveKit): Standby {
    const nameOf = (slot: string) => `${STANDBY_PREFIX}${slot}`;
    return {
      async make(slot) {
        const room = nameOf(slot);
        await rooms.create(room, { emptyTimeoutS: STANDBY_EMPTY_S, departureTimeoutS: 60 });
        const token = await tokens.forAgent({ room, identity: `agent-${slot}`, ttlS: STANDBY_TOKEN_TTL_S });
        return { room, token };
      },
      discard: (slot) => {
        const work = rooms
          .delete(nameOf(slot))
          .catch((error: unknown) => this.#deps.log.debug({ error }, "a standby room is left to the janitor"))
          .finally(() => this.#discards.delete(work));
        this.#discards.add(work);
      },
    };
  }

  #listenerFor(file: ProfileFile): PoolListener {
    const { clock, log } = this.#deps;
    return {
      onChange: () => this.#announcer?.announce(),
      onLoaded: (exported) => {
        this.#adoptPool(file.profile, exported).catch((error: unknown) =>
          log.error({ error, profile: file.profile }, "the pool's numbers could not be stored"),
        );
      },
      onJoined: (slot, at) => this.#sayInRoom(slot, "joined", at),
      onReady: (slot, at) => this.#sayInRoom(slot, "ready", at),
      onUser: (slot, user) => this.#onUser(slot, user),
      onEnded: (slot, ending) => {
        if (ending.lost) this.#onLost(slot, ending.why);
        else if (slot.assignment !== undefined) {
          this.#reports.say(slot.assignment, {
            type: "agent_ended",
            why: ending.why,
            ...(ending.error === undefined ? {} : { error: ending.error.message }),
            worthRepeating: ending.error?.worthRepeating ?? true,
          });
        }
        this.#letGo(slot);
      },
      onLost: (slot, why) => {
        this.#onLost(slot, why);
        this.#letGo(slot);
      },
      onClosed: (slot) => this.#letGo(slot),
      onLog: ({ slot, session, line }) => {
        const assignment = this.#pools.get(file.profile)?.assignmentOf(slot);
        const fields = {
          ...line.fields,
          profile: file.profile,
          ...(session === undefined ? {} : { session }),
        };
        logAt(log, line.level, fields, line.message);
        if (assignment === undefined) return;
        const message =
          "error" in line.fields ? `${line.message}: ${errorText(line.fields.error)}` : line.message;
        this.#reports.log(assignment, {
          at: line.at || isoNow(clock),
          level: line.level,
          message,
          attempt: assignment.attempt,
        });
      },
    };
  }

  #sayInRoom(slot: Slot, type: "joined" | "ready", at: { room: string; identity: string }): void {
    const { assignment } = slot;
    if (assignment === undefined || assignment.isReleased) return;
    const tookMs = Math.round(this.#deps.clock.monotonic() - assignment.takenAtMs);
    this.#reports.say(assignment, {
      type,
      room: at.room,
      identity: at.identity,
      warm: assignment.warmth,
      tookMs,
    });
  }

  /** A user who lost the connection may come back within the grace; one who hung up has left. */
  #onUser(slot: Slot, { present, hungUp }: { present: boolean; hungUp: boolean }): void {
    const { clock, settings } = this.#deps;
    this.#userTimers.get(slot)?.();
    this.#userTimers.delete(slot);
    if (present || slot.assignment?.userCame !== true) return;
    const cancel = clock.after(hungUp ? 0 : settings.userLeftMs, () => {
      this.#userTimers.delete(slot);
      if (slot.assignment?.isReleased === false) this.#reports.say(slot.assignment, { type: "user_left" });
    });
    this.#userTimers.set(slot, cancel);
  }

  #onLost(slot: Slot, why: string): void {
    if (slot.assignment === undefined || slot.assignment.isReleased) return;
    this.#lost += 1;
    this.#reports.sayLost(slot.assignment, why);
  }

  #letGo(slot: Slot): void {
    this.#userTimers.get(slot)?.();
    this.#userTimers.delete(slot);
    this.#assignments.forget(slot);
  }

  /** The file's numbers are the fleet's, until an operator says other ones. */
  async #adoptPool(profile: string, exported: Partial<PoolSettings>): Promise<void> {
    const { bus, log, settings } = this.#deps;
    const defaults = {
      min: settings.poolMin,
      hot: Math.min(1, settings.poolMin),
      max: settings.maxAgents,
      perStage: 10,
    };
    const parsed = PoolSettings.safeParse({ ...defaults, ...exported });
    if (!parsed.success)
      log.warn({ profile, faults: parsed.error.issues }, "the file's pool export is not usable");
    const wanted: PoolTarget = { ...(parsed.success ? parsed.data : defaults), profile, source: "file" };
    for (let tries = 0; tries < 10; tries++) {
      const stored = await bus.read(poolsBucket, profile);
      if (stored?.value.source === "api" || JSON.stringify(stored?.value) === JSON.stringify(wanted)) break;
      if ((await bus.save(poolsBucket, wanted, stored?.revision ?? 0)) !== undefined) break;
    }
    this.#shareOut();
  }

  /** Each host takes its own part of every pool; all work it out from the same numbers. */
  #shareOut(): void {
    if (this.#isDraining) return;
    for (const [profile, target] of this.#targets) {
      const pool = this.#pools.get(profile);
      const share = sharePool(target, profile, this.#hosts?.all() ?? [], this.#deps.hostId);
      if (pool !== undefined && !isSame(share, pool.target)) pool.setTarget(share);
    }
  }

  #isFull(): boolean {
    return this.#assignments.count >= this.#deps.settings.maxAgents;
  }

  #record(): Omit<HostRecord, "epoch" | "sequence"> {
    const { hostId, pid, settings } = this.#deps;
    const pools = [...this.#pools];
    return {
      id: hostId,
      pid,
      startedAt: this.#startedAt,
      draining: this.#isDraining,
      load: Math.min(1, this.#assignments.count / settings.maxAgents),
      maxAgents: settings.maxAgents,
      profiles: Object.fromEntries(pools.map(([profile, pool]) => [profile, pool.profile()])),
      stages: pools.flatMap(([, pool]) => pool.stages()),
      stats: {
        spawned: pools.reduce((sum, [, pool]) => sum + pool.spawned, 0),
        assigned: this.#assignments.assigned,
        lost: this.#lost,
      },
    };
  }
}

const isSame = (a: PoolSettings, b: PoolSettings): boolean =>
  a.min === b.min && a.hot === b.hot && a.max === b.max && a.perStage === b.perStage;

function logAt(log: Log, level: string, fields: Record<string, unknown>, message: string): void {
  if (level === "error" || level === "fatal") log.error(fields, message);
  else if (level === "warn") log.warn(fields, message);
  else if (level === "info") log.info(fields, message);
  else log.debug(fields, message);
}

const errorText = (error: unknown): string =>
  typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error);
