// The agent-host: supervises stages, gives agents to sessions, and says what becomes of them.
import type { Bus } from "../../libs/bus/bus.ts";
import { assignCommand, pingCommand, releaseCommand } from "../../libs/contracts/channels.ts";
import type { HostRecord } from "../../libs/contracts/host.ts";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { type Clock, isoNow, repeat, sleep } from "../../libs/process/clock.ts";
import type { Log } from "../../libs/process/log.ts";
import { type Announcer, register } from "./announcer.ts";
import { Assignments } from "./assignments.ts";
import { ConversationKeeper } from "./conversation-keeper.ts";
import type { ProfileFile } from "./find-profiles.ts";
import { PoolTargets } from "./pool-targets.ts";
import { SessionReports } from "./session-reports.ts";
import { SessionTeller } from "./session-teller.ts";
import { SpawnGate } from "./spawn-gate.ts";
import type { LaunchStage } from "./stage-link.ts";
import type { StageHandover } from "./stage-messages.ts";
import { StandbyRooms } from "./standby-rooms.ts";
import { WarmPool } from "./warm-pool.ts";

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
    /** Stages that a profile's idle agents live in at least. */
    readonly spareStages: number;
    readonly userLeftMs: number;
    readonly logLevel: string;
    readonly handover: StageHandover;
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

export async function startAgentHost(deps: AgentHostDeps): Promise<AgentHost> {
  const host = new Host(deps);
  await host.start();
  return host;
}

class Host implements AgentHost {
  readonly #deps: AgentHostDeps;
  readonly #pools = new Map<string, WarmPool>();
  readonly #tellers: SessionTeller[] = [];
  readonly #targets: PoolTargets;
  readonly #standby: StandbyRooms | undefined;
  readonly #assignments: Assignments;
  readonly #reports: SessionReports;
  readonly #conversations: ConversationKeeper;
  readonly #startedAt: string;
  readonly #stops: (() => Promise<void> | void)[] = [];
  #announcer: Announcer | undefined;
  #isDraining = false;

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
    this.#conversations = new ConversationKeeper({ ...common, enabled: deps.settings.handover.restore });
    this.#assignments = new Assignments({
      ...common,
      pools: this.#pools,
      conversations: this.#conversations,
      refuses: () =>
        this.#isDraining ? "the host is draining" : this.#isFull() ? "the host is full" : undefined,
    });
    const { maxAgents, poolMin } = deps.settings;
    this.#targets = new PoolTargets({
      ...common,
      pools: this.#pools,
      defaults: { min: poolMin, hot: Math.min(1, poolMin), max: maxAgents, perStage: 10 },
    });
    this.#standby = deps.livekit === undefined ? undefined : new StandbyRooms(deps.livekit, deps.log);
    const gate = new SpawnGate(SPAWNS_AT_ONCE);
    for (const file of deps.profiles) this.#pools.set(file.profile, this.#makePool(file, gate));
  }

  get epoch(): number {
    return this.#announcer?.epoch ?? 0;
  }

  async start(): Promise<void> {
    const { bus, clock, hostId, log, onSupplanted } = this.#deps;
    this.#announcer = await register({ bus, clock, log, onSupplanted }, hostId, () => this.#record());
    const hosts = await watchHosts(bus);
    this.#stops.push(
      hosts.stop,
      await this.#targets.follow(hosts),
      await bus.serve(assignCommand, hostId, (assign) => this.#assignments.onAssign(assign)),
      await bus.serve(releaseCommand, hostId, async (release) => this.#assignments.onRelease(release)),
      await bus.serve(pingCommand, hostId, async () => ({
        id: hostId,
        epoch: this.epoch,
        sequence: this.#announcer?.sequence() ?? 0,
      })),
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
      for (const slot of pool.busySlots()) pool.giveUp(slot, "the host stopped before the session was over");
    }
    // Without NATS none of this would end, and the agents' processes must: what is left, the janitor finds.
    await Promise.race([this.#leave(), sleep(clock, LEAVE_MS)]);
    for (const pool of this.#pools.values()) pool.stop();
  }

  /** Says what is left to say, and takes the registration back. */
  async #leave(): Promise<void> {
    await Promise.all([this.#reports.settle(), this.#standby?.settle()]);
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
      spreadOver: settings.spareStages,
      start: {
        profile: file.profile,
        file: file.file,
        host: hostId,
        livekitUrl: livekit?.url ?? "",
        livekitApiKey: livekit?.apiKey ?? "",
        livekitApiSecret: livekit?.apiSecret ?? "",
        simulated: livekit?.isSimulated ?? false,
        logLevel: settings.logLevel,
        handover: settings.handover,
      },
      standby: this.#standby,
      listener: this.#tellerFor(file.profile),
    });
  }

  #tellerFor(profile: string): SessionTeller {
    const { clock, log, settings } = this.#deps;
    const teller = new SessionTeller({
      clock,
      log,
      profile,
      reports: this.#reports,
      conversations: this.#conversations,
      userLeftMs: settings.userLeftMs,
      slotById: (slotId) => this.#pools.get(profile)?.slot(slotId),
      onChange: () => this.#announcer?.announce(),
      onLoaded: (exported) => {
        this.#targets
          .adopt(profile, exported)
          .catch((error: unknown) => log.error({ error, profile }, "the pool's numbers could not be stored"));
      },
      onFree: (slot) => this.#assignments.forget(slot),
    });
    this.#tellers.push(teller);
    return teller;
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
        lost: this.#tellers.reduce((sum, teller) => sum + teller.lost, 0),
      },
    };
  }
}
