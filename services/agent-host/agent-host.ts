// The agent-host: supervises stages, gives agents to sessions, and says what becomes of them.
import type { Bus } from "../../libs/bus/bus.ts";
import type { DrainAnswer, HostRecord, OnDeadline } from "../../libs/contracts/fleet/host.ts";
import {
  assignCommand,
  drainCommand,
  pingCommand,
  releaseCommand,
  undrainCommand,
} from "../../libs/contracts/streams.ts";
import { type HostView, watchHosts } from "../../libs/fleet/host-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { type Clock, isoNow, sleep } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { type HostRegistration, registerHost } from "./host-registration.ts";
import { AgentPool } from "./pool/agent-pool.ts";
import type { ProfileFile } from "./pool/find-profiles.ts";
import type { ProcessFailover } from "./pool/messages.ts";
import { PoolTargets } from "./pool/pool-targets.ts";
import { SpawnLimiter } from "./pool/spawn-limiter.ts";
import { StandbyRooms } from "./pool/standby-rooms.ts";
import type { LaunchProcess } from "./pool/supervised-process.ts";
import { Assignments } from "./sessions/assignments.ts";
import { ConversationStore } from "./sessions/conversation-store.ts";
import { Drain } from "./sessions/drain.ts";
import { EventPublisher } from "./sessions/event-publisher.ts";
import { watchFencing } from "./sessions/fencing.ts";
import { SessionReporter } from "./sessions/session-reporter.ts";
import { UsageReporter } from "./sessions/usage-reporter.ts";

export interface AgentHostDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  readonly hostId: string;
  readonly pid: number;
  readonly profiles: readonly ProfileFile[];
  readonly launch: LaunchProcess;
  /** Names for slots and stages, never the same twice in the fleet: a hot agent's identity is made of it. */
  readonly newId: () => string;
  readonly onSupplanted: (reason: string) => void;
  readonly settings: {
    readonly maxAgents: number;
    readonly poolMin: number;
    readonly stageMemoryMb: number;
    readonly stagePingMs: number;
    /** Stages that a profile's idle agents live in at least. */
    readonly spareStages: number;
    readonly userLeftMs: number;
    readonly logLevel: string;
    readonly failover: ProcessFailover;
  };
}

export interface AgentHost {
  readonly epoch: number;
  /**
   * Takes no new sessions, lets running ones go on for `limitMs`, and leaves. What is left by then goes to other
   * hosts, or with "wait" is waited for without a limit; for what nobody could take it doesn't wait.
   */
  drain(limitMs: number, onDeadline?: OnDeadline): Promise<void>;
}

const SPAWNS_AT_ONCE = 4;
/** How long the last sessions may take to find another host. */
const HANDOVER_MS = 8000;
const LEAVE_MS = 4000;

export async function startAgentHost(deps: AgentHostDeps): Promise<AgentHost> {
  const host = new Host(deps);
  await host.start();
  return host;
}

class Host implements AgentHost {
  readonly #deps: AgentHostDeps;
  readonly #pools = new Map<string, AgentPool>();
  readonly #tellers: SessionReporter[] = [];
  readonly #targets: PoolTargets;
  readonly #standby: StandbyRooms | undefined;
  readonly #assignments: Assignments;
  readonly #reports: EventPublisher;
  readonly #conversations: ConversationStore;
  readonly #measured: UsageReporter;
  readonly #startedAt: string;
  readonly #stops: (() => Promise<void> | void)[] = [];
  #announcer: HostRegistration | undefined;
  readonly #drain: Drain;
  #hosts: HostView | undefined;

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
    this.#reports = new EventPublisher(common);
    this.#measured = new UsageReporter(common);
    this.#conversations = new ConversationStore({ ...common, enabled: deps.settings.failover.restore });
    this.#assignments = new Assignments({
      ...common,
      pools: this.#pools,
      conversations: this.#conversations,
      refuses: () =>
        this.#drain.isOn ? "the host is draining" : this.#isFull() ? "the host is full" : undefined,
    });
    this.#drain = new Drain({
      ...common,
      pools: this.#pools,
      hosts: () => this.#hosts?.all() ?? [],
      handOver: (of, reason) => {
        this.#reports.publish(of, { type: "migrated", reason });
        this.#measured.storeNow(of);
      },
      onChange: () => this.#announcer?.publish(),
    });
    const { maxAgents, poolMin } = deps.settings;
    this.#targets = new PoolTargets({
      ...common,
      pools: this.#pools,
      defaults: { min: poolMin, hot: Math.min(1, poolMin), max: maxAgents, perProcess: 10 },
    });
    this.#standby = deps.livekit === undefined ? undefined : new StandbyRooms(deps.livekit, deps.log);
    const gate = new SpawnLimiter(SPAWNS_AT_ONCE);
    for (const file of deps.profiles) this.#pools.set(file.profile, this.#makePool(file, gate));
  }

  get epoch(): number {
    return this.#announcer?.epoch ?? 0;
  }

  async start(): Promise<void> {
    const { bus, clock, hostId, log, onSupplanted } = this.#deps;
    this.#announcer = await registerHost({ bus, clock, log, onSupplanted }, hostId, () => this.#record());
    const hosts = await watchHosts(bus);
    this.#hosts = hosts;
    this.#stops.push(
      hosts.stop,
      await this.#targets.follow(hosts),
      await bus.core.serve(assignCommand, hostId, (assign) => this.#assignments.handleAssign(assign)),
      await bus.core.serve(releaseCommand, hostId, (release) => this.#assignments.handleRelease(release)),
      await bus.core.serve(pingCommand, hostId, async () => ({
        hostId,
        epoch: this.epoch,
        sequence: this.#announcer?.sequence() ?? 0,
      })),
      await bus.core.serve(drainCommand, hostId, async (options) => {
        log.info(options, "told to drain");
        this.#drain.begin(options);
        return this.#drained();
      }),
      await bus.core.serve(undrainCommand, hostId, async () => {
        log.info("told to take sessions again");
        this.#drain.undo();
        return this.#drained();
      }),
      watchFencing({ bus, clock, log }, () => this.#assignments.checkRecords()),
    );
    for (const pool of this.#pools.values()) pool.probe();
  }

  async drain(limitMs: number, onDeadline: OnDeadline = "handover"): Promise<void> {
    const { clock, log } = this.#deps;
    this.#drain.begin({ deadlineMs: limitMs, onDeadline });
    const since = clock.monotonic();
    if (this.#assignments.count > 0)
      log.info({ sessions: this.#assignments.count, limitMs, onDeadline }, "draining");
    while (this.#assignments.count > 0) {
      const pastMs = clock.monotonic() - since - limitMs;
      if (onDeadline === "handover" && pastMs >= 0) {
        if (pastMs > HANDOVER_MS || !this.#drain.isWorthWaiting) break;
      }
      await sleep(clock, 50);
    }
    this.#drain.stop();
    for (const pool of this.#pools.values()) {
      for (const slot of pool.busySlots()) pool.giveUp(slot, "the host stopped before the session was over");
    }
    // Without NATS none of this would end, and the agents' processes must: what is left, the janitor finds.
    await Promise.race([this.#leave(), sleep(clock, LEAVE_MS)]);
    for (const pool of this.#pools.values()) pool.stop();
  }

  #drained(): DrainAnswer {
    return { draining: this.#drain.isOn, sessions: this.#assignments.count };
  }

  /** Says what is left to say, and takes the registration back. */
  async #leave(): Promise<void> {
    await Promise.all([this.#reports.settle(), this.#measured.settle(), this.#standby?.settle()]);
    for (const stop of this.#stops) await stop();
    await this.#announcer?.stop().catch((error: unknown) => {
      this.#deps.log.debug({ error }, "the registration stays behind");
    });
  }

  #makePool(file: ProfileFile, gate: SpawnLimiter): AgentPool {
    const { clock, hostId, launch, livekit, log, newId, settings } = this.#deps;
    return new AgentPool({
      clock,
      log,
      launch,
      limiter: gate,
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
        failover: settings.failover,
      },
      standby: this.#standby,
      listener: this.#tellerFor(file.profile),
    });
  }

  #tellerFor(profile: string): SessionReporter {
    const { clock, log, settings } = this.#deps;
    const teller = new SessionReporter({
      clock,
      log,
      profile,
      reports: this.#reports,
      conversations: this.#conversations,
      measured: this.#measured,
      userLeftMs: settings.userLeftMs,
      slotById: (slotId) => this.#pools.get(profile)?.slot(slotId),
      onChange: () => this.#announcer?.publish(),
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
      hostId,
      pid,
      startedAt: this.#startedAt,
      draining: this.#drain.isOn,
      sessions: this.#assignments.count,
      load: Math.min(1, this.#assignments.count / settings.maxAgents),
      maxAgents: settings.maxAgents,
      profiles: Object.fromEntries(pools.map(([profile, pool]) => [profile, pool.profile()])),
      processes: pools.flatMap(([, pool]) => pool.processes()),
      stats: {
        spawned: pools.reduce((sum, [, pool]) => sum + pool.spawned, 0),
        assigned: this.#assignments.assigned,
        lost: this.#tellers.reduce((sum, teller) => sum + teller.lost, 0),
      },
    };
  }
}
