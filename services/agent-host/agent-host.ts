// The agent-host: supervises agent processes, gives agents to sessions, and reports what happens to them.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import type { DrainAnswer, HostRecord, OnDeadline } from "../../libs/contracts/fleet/host.ts";
import type { Isolation, PoolSettings } from "../../libs/contracts/fleet/pool.ts";
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
import type { LiveKitProof } from "./livekit-proof.ts";
import { AgentPool } from "./pool/agent-pool.ts";
import type { ProfileFile } from "./pool/find-profiles.ts";
import type { ProcessFailover, ProcessStart } from "./pool/messages.ts";
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
  /** Absent where LiveKit needs no proof. */
  readonly proof?: LiveKitProof;
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
    readonly processTimeoutMs: number;
    readonly prewarmTimeoutMs: number;
    /** The number of agent processes that a profile's idle agents are spread over. */
    readonly minProcesses: number;
    readonly userRejoinGraceMs: number;
    readonly logLevel: string;
    readonly failover: ProcessFailover;
    readonly unhandledRejections: ProcessStart["unhandledRejections"];
    readonly readyAfterMs: number;
    readonly transcriptDelayMs: number;
    readonly isolation: Isolation;
    /** The version of the agent code. Undefined: a fingerprint of the files. */
    readonly agentsVersion?: string | undefined;
    readonly maxSessionsPerProcess: number;
    /** How many agent processes may load their files at the same time. */
    readonly concurrentLoads: number;
    readonly reloadAgents: boolean;
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
  /** Loads the files again. New files become profiles, and profiles of deleted files end. */
  reload(profiles: readonly ProfileFile[], changed: ReadonlySet<string>): void;
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
  #unhandledRejections = 0;
  /** Files without an agent. */
  readonly #helpers = new Set<string>();
  readonly #fileOf = new Map<string, string>();
  /** The files as they were found last. */
  #profiles: readonly ProfileFile[];
  /** Profiles whose file is gone and whose sessions still run. */
  readonly #deleted = new Set<string>();
  readonly #limiter = new SpawnLimiter(MAX_CONCURRENT_STARTS);
  readonly #loadLimiter: SpawnLimiter;

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
        void this.#events.publish(assignment, { type: "migrated", reason });
        this.#usage.storeNow(assignment);
      },
      onChange: () => this.#registration?.publish(),
    });
    this.#targets = new PoolTargets({
      ...common,
      defaults: { min: poolMin, hot: Math.min(1, poolMin), max: maxAgents, perProcess: 10 },
    });
    this.#standbyRooms = livekit === undefined ? undefined : new StandbyRooms(livekit, log);
    this.#loadLimiter = new SpawnLimiter(settings.concurrentLoads);
    this.#profiles = profiles;
    for (const file of profiles) this.#addProfile(file);
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
      await bus.core.serve(pingCommand, hostId, async ({ askLiveKit }) => {
        const livekitError = askLiveKit ? await this.#deps.proof?.errorNow() : undefined;
        return {
          hostId,
          epoch: this.epoch,
          sequence: this.#registration?.sequence() ?? 0,
          ...(livekitError === undefined ? {} : { livekitError }),
        };
      }),
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
    const stopProof = this.#deps.proof?.start(() => this.#registration?.publish());
    if (stopProof !== undefined) this.#stops.push(stopProof);
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

  reload(profiles: readonly ProfileFile[], changed: ReadonlySet<string>): void {
    this.#profiles = profiles;
    for (const [name, pool] of [...this.#pools]) {
      if (this.#present(name)?.file === this.#fileOf.get(name)) {
        if (this.#deleted.delete(name)) pool.resume();
        pool.reload();
      } else {
        this.#deleted.add(name);
        pool.drain();
        this.#removeDeleted(name);
      }
    }
    for (const file of profiles) {
      // A helper is not loaded again before it has changed itself.
      if (this.#pools.has(file.profile) || (this.#helpers.has(file.file) && !changed.has(file.file)))
        continue;
      this.#addProfile(file).probe();
    }
    this.#registration?.publish();
  }

  #addProfile(file: ProfileFile): AgentPool {
    const pool = this.#makePool(file);
    this.#helpers.delete(file.file);
    this.#fileOf.set(file.profile, file.file);
    this.#pools.set(file.profile, pool);
    return pool;
  }

  /** The sessions of a deleted file finish before its profile goes. */
  #removeDeleted(name: string): void {
    const pool = this.#pools.get(name);
    if (pool === undefined || !this.#deleted.has(name) || pool.busySlots().length > 0) return;
    this.#deleted.delete(name);
    this.#pools.delete(name);
    pool.stop();
    // Another file has the name now, for example after a rename from .js to .ts.
    const successor = this.#present(name);
    if (successor !== undefined) this.#addProfile(successor).probe();
  }

  #present(name: string): ProfileFile | undefined {
    return this.#profiles.find(({ profile }) => profile === name);
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

  #makePool({ profile, file }: ProfileFile): AgentPool {
    const { clock, hostId, launch, livekit, log, newId, settings } = this.#deps;
    return new AgentPool({
      clock,
      log,
      launch,
      limiter: this.#limiter,
      loadLimiter: this.#loadLimiter,
      newId,
      pingMs: settings.processPingMs,
      timeoutMs: settings.processTimeoutMs,
      prewarmTimeoutMs: settings.prewarmTimeoutMs,
      maxSessionsPerProcess: settings.maxSessionsPerProcess,
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
        unhandledRejections: settings.unhandledRejections,
        readyAfterMs: settings.readyAfterMs,
        transcriptDelayMs: settings.transcriptDelayMs,
        isolation: settings.isolation,
        reportsSources: settings.reloadAgents,
        ...(settings.agentsVersion === undefined ? {} : { version: settings.agentsVersion }),
      },
      onUseless: (status, reason) => {
        if (status === "no_agent") this.#forgetProfile(profile, file, reason);
        else log.warn({ profile, reason }, "disabled a profile");
      },
      onUnhandledRejection: () => {
        this.#unhandledRejections += 1;
      },
      standby: this.#standbyRooms,
      onChange: () => {
        this.#removeDeleted(profile);
        this.#registration?.publish();
      },
      onLoaded: (exported, version) => this.#storeExportedPool(profile, exported, version),
      onAgentEvent: (slot, event) => this.#reporter.onAgentEvent(slot, event),
    });
  }

  /** A helper beside agent files is no profile. */
  #forgetProfile(profile: string, file: string, reason: string): void {
    this.#deps.log.info(
      { file, reason },
      `${profile} is no profile; begin the name of a helper file with _ and it is not loaded`,
    );
    this.#helpers.add(file);
    this.#pools.get(profile)?.stop();
    this.#pools.delete(profile);
    this.#registration?.publish();
  }

  #storeExportedPool(profile: string, exported: Partial<PoolSettings>, version: string | undefined): void {
    this.#targets
      .storeExported(profile, exported, version)
      .catch((error: unknown) =>
        this.#deps.log.error({ error, profile }, "failed to store the pool's target"),
      );
  }

  #refusal(): string | undefined {
    if (this.#drain.isOn) return "the host is draining";
    const unproven = this.#deps.proof?.refusal;
    if (unproven !== undefined) return unproven;
    return this.#assignments.count >= this.#deps.settings.maxAgents ? "the host is full" : undefined;
  }

  #record(): Omit<HostRecord, "epoch" | "sequence"> {
    const { hostId, pid, proof, settings } = this.#deps;
    const pools = [...this.#pools];
    return {
      hostId,
      pid,
      startedAt: this.#startedAt,
      draining: this.#drain.isOn,
      sessions: this.#assignments.count,
      load: Math.min(1, this.#assignments.count / settings.maxAgents),
      maxAgents: settings.maxAgents,
      profiles: Object.fromEntries(
        pools.map(([name, pool]) => {
          const profile = pool.profile();
          return [name, proof?.offered(profile) ?? profile];
        }),
      ),
      processes: pools.flatMap(([, pool]) => pool.processes()),
      stats: {
        spawned: pools.reduce((sum, [, pool]) => sum + pool.spawned, 0),
        assigned: this.#assignments.assigned,
        lost: this.#reporter.lost,
        unhandledRejections: this.#unhandledRejections,
      },
    };
  }
}
