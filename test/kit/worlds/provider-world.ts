// A dispatcher and providers services on the memory bus, in simulated time, with a scripted provider.
import type { Bus } from "../../../libs/bus/bus.ts";
import { launches, sessions } from "../../../libs/contracts/buckets.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { startHeartbeat } from "../../../libs/fleet/heartbeat.ts";
import { simulatedRooms } from "../../../libs/livekit/simulated-rooms.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { startDispatcher } from "../../../services/dispatcher/dispatcher.ts";
import { startJanitor } from "../../../services/janitor/janitor.ts";
import type {
  Launched,
  LaunchOrder,
  Observation,
  ProviderDriver,
} from "../../../services/providers/drivers/driver.ts";
import { startProviders } from "../../../services/providers/providers.ts";
import { anEvent, defaults } from "../fixtures/sessions.ts";
import { world } from "./memory-world.ts";

/** The external system's state of one launch. */
interface Job {
  readonly order: LaunchOrder;
  readonly id: string;
  observation: Observation;
}

/** An external system whose answers to the providers service a test controls. */
class ScriptedProvider implements ProviderDriver {
  readonly name = "livekit" as const;
  readonly launchLimitMs = 5000;
  /** The launches that the system knows. */
  readonly jobs: Job[] = [];
  /** Launches that the providers service asked to end. */
  readonly ended: string[] = [];
  /** The results of the next launches in order. After that launches succeed at once. */
  readonly script: ((order: LaunchOrder, start: () => Job) => Promise<Launched>)[] = [];
  /** False simulates an outage. */
  isReachable = true;
  /** False for a system without a lookup by session and attempt. */
  canLookUp = true;
  /** The observation of an agent that was just launched. */
  first: Observation = { is: "launched" };

  async launch(order: LaunchOrder): Promise<Launched> {
    const start = () => this.#start(order);
    const next = this.script.shift();
    if (next !== undefined) return next(order, start);
    return { is: "launched", externalId: start().id };
  }

  async observe(launch: LaunchRecord): Promise<Observation> {
    if (!this.isReachable) throw new Error("the provider is unreachable");
    if (launch.state === "intended" && !this.canLookUp)
      return { is: "untellable", reason: "the provider keeps no list of its launches" };
    const job = this.of(launch);
    if (job === undefined) return { is: "absent", reason: "the provider doesn't know the launch" };
    return "externalId" in job.observation || job.observation.is === "absent"
      ? job.observation
      : ({ externalId: job.id, identity: `agent-${job.id}`, ...job.observation } as Observation);
  }

  async end(launch: LaunchRecord, _reason: string): Promise<undefined> {
    if (!this.isReachable) throw new Error("the provider is unreachable");
    this.ended.push(`${launch.sessionId}.${launch.attempt}`);
    const job = this.of(launch);
    if (job !== undefined) this.jobs.splice(this.jobs.indexOf(job), 1);
  }

  of({ sessionId, attempt }: { sessionId: string; attempt: number }): Job | undefined {
    return this.jobs.find(({ order }) => order.sessionId === sessionId && order.attempt === attempt);
  }

  /** Sets the observation of an attempt's agent. */
  become(sessionId: string, attempt: number, observation: Observation): void {
    const job = this.of({ sessionId, attempt });
    if (job === undefined) throw new Error(`The provider has no launch ${sessionId}.${attempt}`);
    job.observation = observation;
  }

  launched: string[] = [];

  #start(order: LaunchOrder): Job {
    this.launched.push(`${order.sessionId}.${order.attempt}`);
    const job = { order, id: `job-${this.launched.length}`, observation: this.first };
    this.jobs.push(job);
    return job;
  }
}

export const LIMITS = { dispatchTimeoutMs: 4000, userLeftMs: 3000, observeMs: 1000 };

/** Creates a world with a dispatcher and, if wanted, a janitor. A test starts the providers services. */
export async function providerWorld(options: { janitor?: boolean; queueMs?: number; seed?: number } = {}) {
  const { clock, server, connect, outcome } = world({}, options.seed ?? 1);
  const provider = new ScriptedProvider();
  const token = async () => "token";
  const livekit = {
    rooms: simulatedRooms(() => 0),
    tokens: { forUser: token, forAgent: token },
    url: "",
    publicUrl: "",
    apiKey: "",
    apiSecret: "",
    isSimulated: true,
  };
  const dispatcherBus = connect("dispatcher");
  const deadlineMs = { ...defaults.deadlineMs, requested: options.queueMs ?? defaults.deadlineMs.requested };
  await outcome(
    startDispatcher({
      bus: dispatcherBus,
      clock,
      log: silentLog,
      livekit,
      instance: "dispatcher-1",
      defaults: { ...defaults, deadlineMs },
    }),
  );
  if (options.janitor === true) {
    await outcome(
      startJanitor({
        bus: connect("janitor"),
        clock,
        log: silentLog,
        livekit,
        settings: { sweepMs: 10_000, keepEndedMs: 24 * 60 * 60 * 1000, agentPingTimeoutMs: 300 },
      }),
    );
  }
  const client = connect("client");

  /** Starts a providers service with one provider, on a bus that a test may change. `kill` acts like `kill -9`. */
  const providers = async (
    instance: string,
    change: (bus: Bus) => Bus = (bus) => bus,
    of: ProviderDriver = provider,
  ) => {
    const own = clock.forProcess();
    const client = connect(instance);
    const bus = change(client);
    const running = await outcome(
      startProviders({
        bus,
        clock: own,
        log: silentLog,
        instance,
        providers: [of],
        limits: LIMITS,
        ringingWaitMs: 60_000,
      }),
    );
    const stopHeartbeat = startHeartbeat(bus, own, { service: "providers", instance });
    return {
      kill() {
        own.kill();
        client.crash();
      },
      /** Acts like SIGSTOP. */
      pause() {
        own.pause();
        client.pause();
      },
      resume() {
        own.resume();
        client.resume();
      },
      async stop() {
        await outcome(running.stop());
        stopHeartbeat();
      },
    };
  };
  const request = (id: string, changed: Parameters<typeof anEvent>[1] = {}) =>
    outcome(
      client.streams.publish(
        sessionEvents,
        anEvent(id, { profile: "support", provider: "livekit", ...changed }),
      ),
    );
  const record = (id: string): SessionRecord | undefined =>
    server.entries(sessions).find(({ value }) => value.sessionId === id)?.value;
  const launch = (id: string, attempt = 1): LaunchRecord | undefined =>
    server.entries(launches).find(({ value }) => value.sessionId === id && value.attempt === attempt)?.value;
  /** Lets time pass until the session reaches a state. */
  const when = async (id: string, state: SessionRecord["state"], attempt?: number, maxMs = 60_000) => {
    const is = () => {
      const now = record(id);
      return now?.state === state && (attempt === undefined || now.attempt === attempt);
    };
    if (!(await clock.runUntil(is, maxMs)))
      throw new Error(`session ${id} never was ${state} ${attempt ?? ""}: ${JSON.stringify(record(id))}`);
    return record(id) as SessionRecord;
  };
  return { clock, server, provider, livekit, client, providers, request, record, launch, when, outcome };
}
