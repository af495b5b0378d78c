// The simulated world of a seed: every service, LiveKit and NATS in one process, on one virtual clock.
import type { Bus } from "../../libs/bus/bus.ts";
import { overrideBus } from "../../libs/bus/override-bus.ts";
import { rollups, sessions } from "../../libs/contracts/buckets.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { agentIdentityOf, sessionKey } from "../../libs/contracts/ids.ts";
import type { ConversationRecord } from "../../libs/contracts/sessions/conversation.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { hostChanges, roomEvents } from "../../libs/contracts/streams.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { JobRequest } from "../../services/agent-host/pool/messages.ts";
import type { LaunchProcess } from "../../services/agent-host/pool/supervised-process.ts";
import type { Gateway } from "../../services/gateway/context.ts";
import type { ProviderDriver } from "../../services/providers/drivers/driver.ts";
import { callNameOf } from "../../services/providers/drivers/vapi-status.ts";
import { forkRandom, pickOne, type Random } from "../kit/random.ts";
import { createSimClock, type SimClock } from "../kit/sim-clock.ts";
import type { SimAgentProcess } from "./actors/sim-agent-process.ts";
import { SimVapi } from "./actors/sim-vapi.ts";
import { checkDispatch } from "./checks/check-launches.ts";
import { Conversations } from "./checks/conversations.ts";
import { Coverage } from "./checks/coverage.ts";
import { Facts } from "./checks/facts.ts";
import { SimDispatches } from "./livekit/sim-agent-dispatch.ts";
import { type Gone, type Guest, SimLiveKit } from "./livekit/sim-livekit.ts";
import { SimWorkers } from "./livekit/sim-workers.ts";
import { createMemoryServer, type MemoryServer } from "./nats/memory-server.ts";
import type { Plant } from "./plants/plant.ts";
import {
  HEALTHY_HOP,
  HEALTHY_IN_FLIGHT,
  type Misbehaviour,
  misbehaviourOn,
  type Scenario,
  scenarioOf,
} from "./scenario.ts";
import {
  callsOf,
  dispatcherOf,
  gatewayOf,
  hostOf,
  janitorOf,
  logInto,
  providersOf,
  type ServiceWorld,
  tasksOf,
} from "./services.ts";
import { type Kind, type Life, SimProcess } from "./sim-process.ts";
import { Trace } from "./trace.ts";
import { tracedBus } from "./traced-bus.ts";

export interface WorldOptions {
  /** Keeps the lines of the trace for printing. */
  readonly keepTrace?: boolean;
  /** A planted bug. */
  readonly plant?: Plant;
  /**
   * For a comparison of two runs of a seed: with correct wall clocks, or with clocks that jump by up to an hour.
   * Both runs leave out rollups and call records, since these depend on wall-clock minutes and days.
   */
  readonly clocks?: "right" | "wrong";
  readonly scenario?: Partial<Scenario>;
}

/** An agent may be given up if it was unreachable within this time before. */
const UNREACHABLE_GRACE_MS = 3000;
type AgentLost = Extract<SessionEvent, { type: "agent_lost" }>;

/** The reason of a stopping host whose sessions no other host has taken over. */
const STOPPED = "the host stopped before the session had ended";
const HOUR_MS = 3_600_000;

const withoutRollups = (bus: Bus): Bus =>
  overrideBus(bus, {
    kv: {
      get: async (bucket, key) => (bucket.name === rollups.name ? undefined : bus.kv.get(bucket, key)),
      update: async (bucket, value, revision) =>
        bucket.name === rollups.name ? 1 : bus.kv.update(bucket, value, revision),
    },
  });

export class World implements ServiceWorld {
  readonly scenario: Scenario;
  readonly clock: SimClock = createSimClock();
  readonly trace: Trace;
  readonly facts: Facts;
  readonly server: MemoryServer;
  readonly livekit: SimLiveKit;
  readonly dispatches: SimDispatches;
  readonly workers: SimWorkers;
  readonly vapi: SimVapi;
  readonly conversations: Conversations;
  readonly random: Random;
  readonly processes: SimProcess[] = [];
  /** The running gateways, by name. */
  readonly gateways = new Map<string, Gateway>();
  /** The agent processes of each host, by the host's instance. */
  readonly agentProcesses = new Map<string, Set<SimAgentProcess>>();
  /** The last update of each host. */
  readonly hostUpdates = new Map<string, HostRecord>();
  readonly options: WorldOptions;
  readonly coverage = new Coverage();
  readonly #givenUp = new Set<string>();
  #webhooks: Bus | undefined;
  drainMs = 2000;
  isCalm = true;

  constructor(seed: number, options: WorldOptions) {
    this.options = options;
    this.scenario = { ...scenarioOf(seed), ...options.scenario };
    this.trace = new Trace(this.clock, options.keepTrace ?? false);
    this.trace.onLivelock = () => this.end();
    this.facts = new Facts(this.clock, this.trace);
    this.conversations = new Conversations(this.clock, this.trace, this.coverage);
    this.random = forkRandom(seed, "agents");
    this.livekit = new SimLiveKit(this.clock, forkRandom(seed, "livekit"), {
      onIn: (room, guest) => this.facts.onIn(room, guest),
      onGone: (room, guest, reason) => this.#onGone(room, guest, reason),
    });
    this.workers = new SimWorkers(this, forkRandom(seed, "workers"));
    this.dispatches = new SimDispatches(this.clock, this.livekit, {
      onDispatch: (madeFor) => checkDispatch(this, madeFor),
      launch: (dispatch) => this.workers.launch(dispatch),
    });
    this.vapi = new SimVapi(this.clock, forkRandom(seed, "vapi"), {
      failRate: () => (this.isCalm ? 0 : (this.scenario.calling?.vapiFails ?? 0)),
      watch: { onDial: (name) => this.#onDial(name), onAnswer: (name) => this.#onAnswer(name) },
    });
    this.server = createMemoryServer({
      clock: this.clock,
      random: forkRandom(seed, "bus"),
      faults: { hopMs: HEALTHY_HOP, inFlightMs: HEALTHY_IN_FLIGHT },
      log: this.#log("nats"),
      replicas: this.scenario.replicas,
      ...(options.plant?.keys === undefined ? {} : { changeKeys: options.plant.keys }),
      ...(options.plant?.deadLettering === undefined
        ? {}
        : { changeDeadLettering: options.plant.deadLettering }),
    });
    const { scenario } = this;
    this.#add("dispatcher", scenario.dispatchers, dispatcherOf);
    this.#add("agent-host", scenario.hosts, hostOf);
    this.#add("janitor", scenario.janitors, janitorOf);
    this.#add("gateway", scenario.gateways, gatewayOf);
    this.#add("providers", scenario.outside?.providers ?? 0, providersOf);
    this.#add("tasks", scenario.calling?.tasks ?? 0, tasksOf);
    const calls = options.clocks === undefined ? scenario.calling?.calls : 0;
    this.#add("calls", calls ?? 0, callsOf);
  }

  get pool() {
    return this.scenario.pool;
  }

  misbehaviour(host?: string): Misbehaviour {
    return misbehaviourOn(this.scenario, this.isCalm, host);
  }

  boot(): void {
    this.observeHosts();
    for (const process of this.processes) process.boot();
  }

  /** Starts the faults of the scenario. */
  break(): void {
    this.isCalm = false;
    this.server.setFaults(this.scenario.faults);
    this.livekit.failRate = this.scenario.livekitFails;
    this.trace.note("world", "faults begin");
  }

  /** Ends all faults and restarts what is down. */
  heal(): void {
    this.trace.note("world", "faults end");
    this.isCalm = true;
    this.server.calm();
    this.server.setFaults({ hopMs: HEALTHY_HOP, inFlightMs: HEALTHY_IN_FLIGHT });
    this.livekit.heal();
    for (const process of this.processes) {
      process.resume();
      process.heal();
      process.boot();
    }
    for (const agentProcess of this.allAgentProcesses()) agentProcess.resume();
    this.workers.resumeAll();
  }

  end(): void {
    for (const process of this.processes) process.end();
  }

  allAgentProcesses(): SimAgentProcess[] {
    return [...this.agentProcesses.values()].flatMap((each) => [...each]).filter(({ isDead }) => !isDead);
  }

  records(): SessionRecord[] {
    return this.server.entries(sessions).map(({ value }) => value);
  }

  record(tenant: string, id: string): SessionRecord | undefined {
    const key = sessionKey({ tenant, sessionId: id });
    return this.server.entries(sessions).find((entry) => entry.key === key)?.value;
  }

  /** The dependencies of a service in one process. */
  outfit(kind: Kind, name: string, life: Life): { bus: Bus; livekit: LiveKit; log: Log; clock: Clock } {
    const { facts, trace, options } = this;
    const { plant } = options;
    const watch = {
      who: life.instance,
      kind,
      trace,
      facts,
      wasSaved: (assign: { sessionId: string; attempt: number }, host: string) =>
        this.#wasSaved(assign.sessionId, assign.attempt, host),
      onDeclined: () => this.coverage.count("launches: declined"),
      onGivenUp: (event: AgentLost) => this.#checkGivenUp(life.instance, kind, event),
      onStored: (record: ConversationRecord) => this.conversations.onStored(record),
      wasOverwritten: (record: SessionRecord) => this.#wasOverwritten(record),
      onRead: (record: ConversationRecord | undefined) => this.conversations.onRead(life.instance, record),
      onReadFailed: (key: string) => this.conversations.onReadFailed(life.instance, key),
    };
    const traced = tracedBus(life.client, watch);
    const own = options.clocks === undefined ? traced : withoutRollups(traced);
    const livekit = this.livekit.forProcess(name, life.clock);
    const at = { kind, name, life, world: this };
    return {
      bus: plant?.bus?.(own, at) ?? own,
      livekit: plant?.livekit?.(livekit, at) ?? livekit,
      log: this.#log(name),
      clock: plant?.clock?.(life.clock, at) ?? life.clock,
    };
  }

  /** Wraps the launch of a host's agent processes. */
  agentProcessLaunch(launch: LaunchProcess): LaunchProcess {
    return this.options.plant?.launch?.(launch) ?? launch;
  }

  /** Wraps the driver of a provider to count its launches. */
  provider(provider: ProviderDriver, name: string, life: Life): ProviderDriver {
    const { coverage, options } = this;
    const counted: ProviderDriver = {
      ...provider,
      launch: async (order) => {
        try {
          return await provider.launch(order);
        } catch (error) {
          coverage.count("launches: unconfirmed");
          throw error;
        }
      },
      observe: async (launch) => {
        const observation = await provider.observe(launch);
        if (launch.state === "intended")
          coverage.count(
            observation.is === "absent" ? "launches: looked up in vain" : "launches: looked up and found",
          );
        return observation;
      },
    };
    return options.plant?.provider?.(counted, { kind: "providers", name, life, world: this }) ?? counted;
  }

  /** A host may free a slot only after it has read that the session's record names another attempt or has ended. */
  onFreed(host: string, job: JobRequest | undefined, reason: string): void {
    if (job === undefined || !reason.includes("continues elsewhere")) return;
    const record = this.record(job.tenant, job.sessionId);
    const isCurrent = record?.attempt === job.attempt && record.state !== "ended";
    const name = `${this.trace.nameOf(job.sessionId)}#${job.attempt}`;
    if (isCurrent)
      this.trace.violation(
        "free after reading",
        `${host} frees the slot of ${name}, which the record still names`,
      );
  }

  /** Follows the updates of hosts, so that checks need not wait for their bucket. */
  observeHosts(): void {
    const observer = this.server.connect("observer");
    void observer.core.subscribe(hostChanges, (host) => {
      const known = this.hostUpdates.get(host.hostId);
      if (known === undefined || known.epoch <= host.epoch) this.hostUpdates.set(host.hostId, host);
    });
  }

  #add(
    kind: Kind,
    count: number,
    start: (world: World, name: string, life: Life) => Promise<{ stop(): Promise<void> }>,
  ) {
    for (let index = 1; index <= count; index++) {
      const name = `${kind === "agent-host" ? "host" : kind}-${index}`;
      const deps = {
        clock: this.clock,
        trace: this.trace,
        connect: (instance: string) => this.server.connect(instance),
        wallOffsetMs: this.#wallClock(name),
      };
      this.processes.push(new SimProcess(name, kind, deps, (life) => start(this, name, life)));
    }
  }

  #onDial(name: string): void {
    const session = this.#calledBy(name);
    this.trace.note(
      "vapi",
      `makes a call for ${session === undefined ? name : this.trace.nameOf(session.sessionId)}`,
    );
    this.coverage.count("calls that VAPI made");
  }

  /** The assistant is ready then, for every attempt: a session has one call. */
  #onAnswer(name: string): void {
    const session = this.#calledBy(name);
    this.trace.note("vapi", `the call is answered for ${this.trace.nameOf(session?.sessionId ?? name)}`);
    this.coverage.count("calls that were answered");
    for (let attempt = 1; attempt <= (session?.attempt ?? 0); attempt++)
      this.facts.onReportedReadyAs(agentIdentityOf({ sessionId: session?.sessionId ?? "", attempt }));
  }

  #calledBy(name: string): SessionRecord | undefined {
    return this.records().find(
      ({ sessionId: id, provider, tenant }) => provider === "vapi" && callNameOf(tenant, id) === name,
    );
  }

  #onGone(room: string, guest: Guest, reason: Gone): void {
    this.facts.onGone(room, guest, reason);
    if (this.scenario.outside?.hasWebhooks && reason !== "vanished") this.#webhook(room, guest, reason);
  }

  /** Plays LiveKit's webhook to a gateway, which publishes it. */
  #webhook(room: string, { identity }: Guest, reason: Gone): void {
    this.#webhooks ??= this.server.connect("webhooks");
    const hint =
      reason === "room_deleted"
        ? { event: "room_finished", room }
        : {
            event: "participant_left",
            room,
            identity,
            reason: reason === "left" ? "CLIENT_INITIATED" : "OTHER",
          };
    this.#webhooks.core.publishTransient(roomEvents, hint);
  }

  #wallClock(name: string): () => number {
    if (this.options.clocks !== "wrong") return () => 0;
    const random = forkRandom(this.scenario.seed, `clock of ${name}`);
    const before = pickOne(random, [-HOUR_MS, HOUR_MS, 1234, 0]);
    const after = pickOne(random, [-HOUR_MS, HOUR_MS, 0]);
    const jumpsAtMs = random() * this.scenario.chaosMs;
    return () => (this.clock.monotonic() < jumpsAtMs ? before : after);
  }

  #wasOverwritten({ tenant, sessionId: id, writeId }: SessionRecord): boolean {
    const isDone = this.server.written(sessions).some(({ value }) => value?.writeId === writeId);
    return isDone && this.record(tenant, id)?.writeId !== writeId;
  }

  #wasSaved(sessionId: string, attempt: number, host: string): boolean {
    const isIt = (record: SessionRecord) =>
      record.sessionId === sessionId && record.attempt === attempt && record.host === host;
    for (const { record, revision } of this.facts.writes.values()) {
      if (revision !== undefined && isIt(record)) return true;
    }
    // The writer may not know about a write whose answer was lost.
    return this.server.written(sessions).some(({ value }) => value !== undefined && isIt(value));
  }

  /** 6: no process gives up an agent that answers in its room, even if its host is cut off or stopped. */
  #checkGivenUp(who: string, kind: Kind, lost: AgentLost): void {
    if (kind === "providers") this.coverage.count("the providers service gives an agent up");
    if (kind === "janitor") this.coverage.count("the janitor gives an agent up");
    // The loss of an agent that has not joined yet is void if the agent joins after all.
    if (lost.state === "dispatched") return;
    // A stopping host gives up the sessions that no other host took over in time.
    if (kind === "agent-host" && lost.reason === STOPPED) return;
    // The process repeats the event until the record shows the loss, even if the agent recovers.
    const loss = `${who} ${lost.sessionId}#${lost.attempt}`;
    if (this.#givenUp.has(loss)) return;
    this.#givenUp.add(loss);
    const record = this.record(lost.tenant, lost.sessionId);
    if (record?.attempt !== lost.attempt || (record.state !== "ready" && record.state !== "joined")) return;
    for (const { room, guest, sinceMs } of this.facts.agentsOf(record)) {
      if (room !== record.room || !this.livekit.isReachable(room, guest)) continue;
      const forMs = this.clock.monotonic() - Math.max(sinceMs, this.livekit.reachableSinceMs(guest));
      if (forMs < UNREACHABLE_GRACE_MS) continue;
      const name = `${this.trace.nameOf(lost.sessionId)}#${lost.attempt}`;
      this.trace.violation(6, `${who} gives up the agent of ${name}, which was reachable all the time`);
    }
  }

  #log(who: string): Log {
    return logInto(this.options.keepTrace ? (line) => this.trace.remark(who, line) : undefined);
  }
}
