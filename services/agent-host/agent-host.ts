// The agent-host: supervises agent processes, gives agents to sessions, and reports what happens to them.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import type { DrainAnswer, HostRecord, OnDeadline } from "../../libs/contracts/fleet/host.ts";
import type { PoolSettings } from "../../libs/contracts/fleet/pool.ts";
import {
  assignCommand,
  drainCommand,
  pingCommand,
  releaseCommand,
  undrainCommand,
} from "../../libs/contracts/streams.ts";
import { type HostView, watchHosts } from "../../libs/fleet/host-view.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { isoNow, sleep } from "../../libs/runtime/clock.ts";
import { type HostRegistration, registerHost } from "./host-registration.ts";
import { AgentPool } from "./pool/agent-pool.ts";
import type { ProfileFile } from "./pool/find-profiles.ts";
import type { ProcessFailover } from "./pool/messages.ts";
import { PoolTargets } from "./pool/pool-targets.ts";
import { SpawnLimiter } from "./pool/spawn-limiter.ts";
import { StandbyRooms } from "./pool/standby.ts";
import type { LaunchProcess } from "./pool/supervised-process.ts";
import { Assignments } from "./sessions/assignments.ts";
import { ConversationStore } from "./sessions/conversation-store.ts";
import { Drain } from "./sessions/drain.ts";
import { EventPublisher } from "./sessions/event-publisher.ts";
import { watchFencing } from "./sessions/fencing.ts";
import { SessionReporter } from "./sessions/session-reporter.ts";
import { UsageReporter } from "./sessions/usage-reporter.ts";

export interface AgentHostDeps extends ServiceDeps {
  readonly livekit: LiveKit | undefined;
  readonly hostId: string;
  readonly pid: number;
  readonly profiles: readonly ProfileFile[];
  readonly launch: LaunchProcess;
  /** Ids for slots and agent processes, unique in the fleet: a hot agent's identity contains its slot's id (I8). */
  readonly newId: () => string;
  readonly onSupplanted: (reason: string) => void;
  readonly settings: {
    readonly maxAgents: number;
    readonly poolMin: number;
    readonly processMemoryMb: number;
    readonly processPingMs: number;
    /** The number of agent processes that a profile's idle agents are spread over. */
    readonly minProcesses: number;
    readonly userRejoinGraceMs: number;
    readonly logLevel: string;
    readonly failover: ProcessFailover;
  };
}

export interface AgentHost {
  readonly epoch: number;
  /**
   * Takes no new sessions, lets running ones continue for `limitMs`, and stops. The remaining sessions then migrate to
   * other hosts, or with "wait" the host waits for them without a limit. It does not wait for sessions that no other
   * host could take.
   */
  drain(limitMs: number, onDeadline?: OnDeadline): Promise<void>;
}

const MAX_CONCURRENT_STARTS = 4;
/** The time that the last sessions have to migrate. */
const MIGRATION_TIMEOUT_MS = 8000;
const STOP_TIMEOUT_MS = 4000;

export async function startAgentHost(deps: AgentHostDeps): Promise<AgentHost> {
  const host = new Host(deps);
  await host.start();
  return host;
}

class Host implements AgentHost {
  readonly #deps: AgentHostDeps;
  readonly #pools = new Map<string, AgentPool>();
  readonly #targets: PoolTargets;
  readonly #standbyRooms: StandbyRooms | undefined;
  readonly #assignments: Assignments;
  readonly #events: EventPublisher;
  readonly #usage: UsageReporter;
  readonly #reporter: SessionReporter;
  readonly #drain: Drain;
  readonly #startedAt: string;
  readonly #stops: (() => Promise<void> | void)[] = [];
  #registration: HostRegistration | undefined;
  #hosts: HostView | undefined;

  constructor(deps: AgentHostDeps) {
    this.#deps = deps;
    this.#startedAt = isoNow(deps.clock);
    const { bus, clock, log, hostId, livekit, profiles, settings } = deps;
    const { maxAgents, poolMin } = settings;
    const common = { bus, clock, log, hostId, epoch: () => this.epoch, pools: this.#pools };
    const conversations = new ConversationStore({ ...common, enabled: settings.failover.restore });
    this.#events = new EventPublisher(common);
    this.#usage = new UsageReporter(common);
    this.#assignments = new Assignments({ ...common, conversations, refusal: () => this.#refusal() });
    this.#reporter = new SessionReporter({
      ...common,
      conversations,
      events: this.#events,
      usage: this.#usage,
      userRejoinGraceMs: settings.userRejoinGraceMs,
      onFree: (slot) => this.#assignments.forget(slot),
    });
    this.#drain = new Drain({
      ...common,
      hosts: () => this.#hosts?.all() ?? [],
      migrate: (assignment, reason) => {
        this.#events.publish(assignment, { type: "migrated", reason });
        this.#usage.storeNow(assignment);
      },
      onChange: () => this.#registration?.publish(),
    });
    this.#targets = new PoolTargets({
      ...common,
      defaults: { min: poolMin, hot: Math.min(1, poolMin), max: maxAgents, perProcess: 10 },
    });
    this.#standbyRooms = livekit === undefined ? undefined : new StandbyRooms(livekit, log);
    const limiter = new SpawnLimiter(MAX_CONCURRENT_STARTS);
    for (const file of profiles) this.#pools.set(file.profile, this.#makePool(file, limiter));
  }

  get epoch(): number {
    return this.#registration?.epoch ?? 0;
  }

  async start(): Promise<void> {
    const { bus, clock, hostId, log, onSupplanted } = this.#deps;
    this.#registration = await registerHost({ bus, clock, log, onSupplanted }, hostId, () => this.#record());
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
        sequence: this.#registration?.sequence() ?? 0,
      })),
      await bus.core.serve(drainCommand, hostId, async (options) => {
        log.info(options, "received a drain command");
        this.#drain.begin(options);
        return this.#drainAnswer();
      }),
      await bus.core.serve(undrainCommand, hostId, async () => {
        log.info("received a command to end the drain");
        this.#drain.undo();
        return this.#drainAnswer();
      }),
      watchFencing({ bus, clock, log }, () => this.#assignments.checkRecords()),
    );
    for (const pool of this.#pools.values()) pool.probe();
  }

  async drain(limitMs: number, onDeadline: OnDeadline = "migrate"): Promise<void> {
    const { clock, log } = this.#deps;
    this.#drain.begin({ deadlineMs: limitMs, onDeadline });
    const since = clock.monotonic();
    if (this.#assignments.count > 0)
      log.info({ sessions: this.#assignments.count, limitMs, onDeadline }, "draining");
    while (this.#assignments.count > 0) {
      const pastMs = clock.monotonic() - since - limitMs;
      if (onDeadline === "migrate" && pastMs >= 0) {
        if (pastMs > MIGRATION_TIMEOUT_MS || !this.#drain.canMigrate) break;
      }
      await sleep(clock, 50);
    }
    this.#drain.stop();
    for (const pool of this.#pools.values()) {
      for (const slot of pool.busySlots()) pool.giveUp(slot, "the host stopped before the session had ended");
    }
    // Without NATS this would never end, and the agent processes must. The janitor finds what is not stored.
    await Promise.race([this.#unregister(), sleep(clock, STOP_TIMEOUT_MS)]);
    for (const pool of this.#pools.values()) pool.stop();
  }

  #drainAnswer(): DrainAnswer {
    return { draining: this.#drain.isOn, sessions: this.#assignments.count };
  }

  /** Stores everything that is pending, and deletes the registration. */
  async #unregister(): Promise<void> {
    await Promise.all([this.#events.flush(), this.#usage.flush(), this.#standbyRooms?.flush()]);
    for (const stop of this.#stops) await stop();
    await this.#registration?.stop().catch((error: unknown) => {
      this.#deps.log.debug({ error }, "failed to delete the registration");
    });
  }

  #makePool({ profile, file }: ProfileFile, limiter: SpawnLimiter): AgentPool {
    const { clock, hostId, launch, livekit, log, newId, settings } = this.#deps;
    return new AgentPool({
      clock,
      log,
      launch,
      limiter,
      newId,
      pingMs: settings.processPingMs,
      memoryLimitMb: settings.processMemoryMb,
      spreadOver: settings.minProcesses,
      start: {
        profile,
        file,
        host: hostId,
        livekitUrl: livekit?.url ?? "",
        livekitApiKey: livekit?.apiKey ?? "",
        livekitApiSecret: livekit?.apiSecret ?? "",
        simulated: livekit?.isSimulated ?? false,
        logLevel: settings.logLevel,
        failover: settings.failover,
      },
      standby: this.#standbyRooms,
      onChange: () => this.#registration?.publish(),
      onLoaded: (exported) => this.#storeExportedPool(profile, exported),
      onAgentEvent: (slot, event) => this.#reporter.onAgentEvent(slot, event),
    });
  }

  #storeExportedPool(profile: string, exported: Partial<PoolSettings>): void {
    this.#targets
      .storeExported(profile, exported)
      .catch((error: unknown) =>
        this.#deps.log.error({ error, profile }, "failed to store the pool's target"),
      );
  }

  #refusal(): string | undefined {
    if (this.#drain.isOn) return "the host is draining";
    return this.#assignments.count >= this.#deps.settings.maxAgents ? "the host is full" : undefined;
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
        lost: this.#reporter.lost,
      },
    };
  }
}
