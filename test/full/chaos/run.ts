// Runs chaos once: starts a world with load, injects faults, heals and ends everything, and returns the evidence.

import type { Shape } from "../../../cli/supervisor/local-services.ts";
import type { Bus } from "../../../libs/bus/bus.ts";
import { connectNatsBus } from "../../../libs/bus/nats/nats-bus.ts";
import { tasks } from "../../../libs/contracts/buckets.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { DEFAULT_TENANT } from "../../../libs/contracts/ids.ts";
import { isTaskEnd } from "../../../libs/contracts/tasks/task.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { forkRandom } from "../../kit/random.ts";
import { ApiClient, CLIENT_TIMEOUT_MS } from "./api-client.ts";
import type { Evidence, Logged, Remains, RunMs, StoredEvent, Violation } from "./evidence.ts";
import { FaultSchedule } from "./fault-schedule.ts";
import { type Forged, Forger } from "./forger.ts";
import { Load } from "./load.ts";
import { Observer } from "./observe.ts";
import { Phones } from "./phones.ts";
import { collectRemains, type Sources, whatIsLeft } from "./remains.ts";
import { RoomWatch, roomsOf } from "./watch-rooms.ts";
import { OTHER_TENANT, startWorld, type World } from "./world.ts";

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Whether all roles run in one process, or each in its own. */
  readonly shape: Shape;
  readonly clients: number;
  readonly log: (line: string) => void;
  /** True to end the run early. The evidence up to then is checked. */
  readonly isStopped: () => boolean;
}

export interface ChaosResult {
  readonly evidence: Evidence;
  /** Violations outside the evidence: crashes, changed revisions, and processes that did not end. */
  readonly violations: readonly Violation[];
  readonly problems: readonly string[];
}

/** The time after the faults before anything is checked. It exceeds every client's wait and the stalls of NATS. */
const CALM_MS = Math.max(45_000, 2 * CLIENT_TIMEOUT_MS);
/** The longest time that anything may outlive its session, plus the time for checks on a busy machine. */
const DRAIN_MS = 45_000;
/** The exit code for a bug of the program itself (sysexits). */
const EX_SOFTWARE = 70;

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const run = new Run(options);
  try {
    return await run.go();
  } finally {
    await run.stop();
  }
}

class Run {
  readonly #options: ChaosOptions;
  readonly #logs: Logged[] = [];
  readonly #violations: Violation[] = [];
  readonly #problems: string[] = [];
  readonly #forged = new Map<number, Forged>();
  readonly #stops: (() => Promise<unknown>)[] = [];
  readonly #beganAtMs = performance.now();

  constructor(options: ChaosOptions) {
    this.#options = options;
  }

  async go(): Promise<ChaosResult> {
    const { seed, shape, minutes, clients, log, isStopped } = this.#options;
    const now = this.#now;
    log(`seed ${seed}, shape ${shape}: starting three NATS nodes, a LiveKit and two of each service`);
    const phones = await Phones.open(forkRandom(seed, "phones"), now);
    this.#stops.push(() => phones.stop());
    const world = await this.#startWorld(phones.settings);
    const observer = await Observer.connect(world.cluster.url, now);
    this.#stops.push(() => observer.stop());
    const watch = new RoomWatch(roomsOf(world.livekit), now);
    this.#stops.push(() => watch.stop());
    const forger = await Forger.connect(world.cluster.url, forkRandom(seed, "forger"));
    this.#stops.push(() => forger.stop());
    const apiOf = (tenant: string) => new ApiClient(tenant, world.gatewayUrls[tenant] ?? []);
    const apis = [apiOf(DEFAULT_TENANT), apiOf(OTHER_TENANT)] as const;
    const load = new Load({ seed, clients, apis, now });
    const schedule = new FaultSchedule({
      world,
      seed,
      now,
      log,
      hostRecord: (name) => observer.hosts.findLast(({ host }) => host.hostId === hostIdOf(name))?.host,
      forge: (times) => this.#forge(forger, observer, times),
    });
    log(`${seconds(now())} everything runs; ${clients} clients, ${minutes} min of faults`);
    await schedule.runUntil(now() + minutes * 60_000, isStopped);

    log(`${seconds(now())} healing`);
    await world.heal();
    const healedAtMs = now();
    await load.stop();
    log(`${seconds(now())} the clients are done; waiting for running sessions`);
    while (now() < healedAtMs + CALM_MS && !isStopped()) await sleep(500);
    const bus = await this.#connectBus(world);
    const endedAtMs = now();
    await this.#listAll(apis);
    await this.#cancelAll(bus, apis);
    await this.#endAll(observer, apis);
    const remains = await this.#drain({ world, bus, phones, rooms: roomsOf(world.livekit), now }, endedAtMs);
    await watch.stop();
    for (const { key, revision, what } of await observer.complete())
      this.#violations.push({ invariant: 4, what: `revision ${revision} of ${key} ${what}` });
    const events = this.#marked(await observer.events());
    const evidence: Evidence = {
      seed,
      starts: load.starts,
      sentTasks: load.sentTasks,
      written: observer.written(),
      events,
      rooms: watch.seen,
      hosts: observer.hosts,
      logs: this.#logs,
      heard: load.heard,
      looked: apis.flatMap(({ looked }) => looked),
      faults: schedule.faults,
      healedAtMs,
      endedAtMs,
      remains,
    };
    log(`${seconds(now())} stopping`);
    await this.stop();
    const problems = [...this.#problems, ...load.problems, ...schedule.problems];
    return { evidence, violations: this.#violations, problems };
  }

  /** Stops everything in reverse order; may be called again. */
  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) {
      await stop().catch((error: unknown) => this.#problems.push(`stopping: ${messageOf(error)}`));
    }
  }

  readonly #now = (): RunMs => performance.now() - this.#beganAtMs;

  async #startWorld(phones: Phones["settings"]): Promise<World> {
    const world = await startWorld({
      seed: this.#options.seed,
      shape: this.#options.shape,
      phones,
      log: this.#options.log,
      onLine: (process, line) => this.#log(process, line),
      onOwnEnd: (process, exitCode) => {
        const words = this.#logs.filter((line) => line.process === process).slice(-3);
        const text = `${process} exited with code ${exitCode}: ${JSON.stringify(words.map(({ line }) => line))}`;
        if (exitCode === EX_SOFTWARE) this.#violations.push({ invariant: 0, what: text });
        else this.#problems.push(text);
      },
    });
    this.#stops.push(async () => {
      for (const what of await world.stop()) this.#violations.push({ invariant: 9, what });
    });
    return world;
  }

  async #connectBus(world: World): Promise<Bus> {
    const bus = await connectNatsBus({
      url: world.cluster.url,
      name: "chaos",
      replicas: 3,
      log: silentLog,
      onLost: () => {},
    });
    this.#stops.push(() => bus.close());
    return bus;
  }

  #log(process: string, line: string): void {
    let parsed: Record<string, unknown>;
    try {
      parsed = JSON.parse(line) as Record<string, unknown>;
    } catch {
      parsed = { msg: line };
    }
    this.#logs.push({ atMs: this.#now(), process, line: parsed });
  }

  async #forge(forger: Forger, observer: Observer, times: number): Promise<void> {
    for (let count = 0; count < times; count++) {
      const forged = await forger.forge([...observer.records().values()]);
      if (forged !== undefined) this.#forged.set(forged.sequence, forged);
    }
  }

  #marked(events: readonly StoredEvent[]): StoredEvent[] {
    return events.map((message) => {
      const forged = this.#forged.get(message.sequence);
      return forged === undefined ? message : { ...message, forgery: forged.forgery };
    });
  }

  /** Reads the lists that a tenant can see. */
  async #listAll(apis: readonly ApiClient[]): Promise<void> {
    for (const api of apis)
      for (const path of ["/api/sessions?limit=200", "/api/hosts", "/api/dead-letters"])
        await api.get(0, path);
  }

  async #endAll(observer: Observer, apis: readonly ApiClient[]): Promise<void> {
    const open = [...observer.records().values()].filter(({ state }) => state !== "ended");
    await Promise.all(
      open.map(async ({ sessionId: id, tenant }, index) => {
        const api = apis.find((one) => one.tenant === tenant)!;
        const { status } = await api.post(index, `/api/session/${id}/end`, {});
        if (status === 0 || status >= 500)
          this.#violations.push({
            invariant: 2,
            what: `the end request was answered ${status}`,
            sessionId: id,
          });
      }),
    );
  }

  /** Cancels all tasks before their sessions end, because a task would start another attempt. */
  async #cancelAll(bus: Bus, apis: readonly ApiClient[]): Promise<void> {
    const open = (await bus.kv.entries(tasks)).filter(({ value }) => !isTaskEnd(value.state));
    await Promise.all(
      open.map(async ({ value: { taskId: id, tenant } }, index) => {
        const api = apis.find((one) => one.tenant === tenant)!;
        const { status } = await api.post(index, `/api/tasks/${id}/cancel`, {});
        if (status === 0 || status >= 500)
          this.#violations.push({
            invariant: 2,
            what: `the cancellation of task ${id} was answered ${status}`,
          });
      }),
    );
  }

  /** Waits until nothing is left, or until the limit. */
  async #drain(sources: Sources, endedAtMs: RunMs): Promise<Remains> {
    for (;;) {
      const remains = await collectRemains(sources);
      const left = whatIsLeft(remains);
      if (left.length === 0 || remains.atMs > endedAtMs + DRAIN_MS) return remains;
      await sleep(1000);
    }
  }
}

/** Returns the id under which an agent-host registers: `agent-host-1` is `host-1`. */
const hostIdOf = (name: string): string => name.replace("agent-host", "host");

const seconds = (ms: RunMs): string => `${(ms / 1000).toFixed(1).padStart(6)} s`;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
