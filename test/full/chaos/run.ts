// One chaos run: a world, a load, faults; then it heals, everything ends, and what was seen is handed back.

import type { Bus } from "../../../libs/bus/bus.ts";
import { connectNatsBus } from "../../../libs/bus/nats/nats-bus.ts";
import { tasks } from "../../../libs/contracts/buckets.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { DEFAULT_TENANT } from "../../../libs/contracts/ids.ts";
import { isTaskEnd } from "../../../libs/contracts/tasks/task.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { forkRandom } from "../../kit/random.ts";
import { ApiClient, CLIENT_TIMEOUT_MS } from "./api-client.ts";
import type { Evidence, Logged, Remains, RunMs, Said, Violation } from "./evidence.ts";
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
  readonly clients: number;
  readonly say: (line: string) => void;
  /** True once it is to end early; what was done by then is judged all the same. */
  readonly isStopped: () => boolean;
}

export interface ChaosResult {
  readonly evidence: Evidence;
  /** What is wrong and isn't in the evidence: crashes, revisions that changed, a process that didn't end. */
  readonly violations: readonly Violation[];
  readonly troubles: readonly string[];
}

/** After the faults nothing is judged for so long: longer than any client waits, and than NATS stalls. */
const SETTLE_MS = Math.max(45_000, 2 * CLIENT_TIMEOUT_MS);
/** How long anything may outlive its session, and what looking takes on a busy machine. */
const DRAIN_MS = 45_000;
/** sysexits: a bug of the program itself. */
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
  readonly #troubles: string[] = [];
  readonly #forged = new Map<number, Forged>();
  readonly #stops: (() => Promise<unknown>)[] = [];
  readonly #beganAtMs = performance.now();

  constructor(options: ChaosOptions) {
    this.#options = options;
  }

  async go(): Promise<ChaosResult> {
    const { seed, minutes, clients, say, isStopped } = this.#options;
    const now = this.#now;
    say(`seed ${seed}: starting three NATS nodes, a LiveKit and two of each service`);
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
      say,
      hostRecord: (name) => observer.hosts.findLast(({ host }) => host.hostId === hostIdOf(name))?.host,
      forge: (times) => this.#forge(forger, observer, times),
    });
    say(`${seconds(now())} everything runs; ${clients} clients, ${minutes} min of faults`);
    await schedule.runUntil(now() + minutes * 60_000, isStopped);

    say(`${seconds(now())} healing`);
    await world.heal();
    const healedAtMs = now();
    await load.stop();
    say(`${seconds(now())} the clients are done; waiting for what is under way`);
    while (now() < healedAtMs + SETTLE_MS && !isStopped()) await sleep(500);
    const bus = await this.#connectBus(world);
    const endedAtMs = now();
    await this.#listAll(apis);
    await this.#cancelAll(bus, apis);
    await this.#endAll(observer, apis);
    const remains = await this.#drain({ world, bus, phones, rooms: roomsOf(world.livekit), now }, endedAtMs);
    await watch.stop();
    for (const { key, revision, what } of await observer.complete())
      this.#violations.push({ invariant: 4, what: `revision ${revision} of ${key} ${what}` });
    const said = this.#marked(await observer.said());
    const evidence: Evidence = {
      seed,
      asked: load.asked,
      askedTasks: load.askedTasks,
      written: observer.written(),
      said,
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
    say(`${seconds(now())} stopping`);
    await this.stop();
    const troubles = [...this.#troubles, ...load.troubles, ...schedule.troubles];
    return { evidence, violations: this.#violations, troubles };
  }

  /** Ends what was begun, the last first; may be called again. */
  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) {
      await stop().catch((error: unknown) => this.#troubles.push(`stopping: ${messageOf(error)}`));
    }
  }

  readonly #now = (): RunMs => performance.now() - this.#beganAtMs;

  async #startWorld(phones: Phones["settings"]): Promise<World> {
    const world = await startWorld({
      seed: this.#options.seed,
      phones,
      say: this.#options.say,
      onLine: (process, line) => this.#log(process, line),
      onOwnEnd: (process, exitCode) => {
        const words = this.#logs.filter((line) => line.process === process).slice(-3);
        const text = `${process} ended by itself with exit code ${exitCode}: ${JSON.stringify(words.map(({ line }) => line))}`;
        if (exitCode === EX_SOFTWARE) this.#violations.push({ invariant: 0, what: text });
        else this.#troubles.push(text);
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

  #marked(said: readonly Said[]): Said[] {
    return said.map((message) => {
      const forged = this.#forged.get(message.sequence);
      return forged === undefined ? message : { ...message, forgery: forged.forgery };
    });
  }

  /** What a tenant can see of all that there is. */
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
          this.#violations.push({ invariant: 2, what: `its end was answered ${status}`, sessionId: id });
      }),
    );
  }

  /** Before the ends of sessions, or a task would begin another attempt. */
  async #cancelAll(bus: Bus, apis: readonly ApiClient[]): Promise<void> {
    const open = (await bus.kv.entries(tasks)).filter(({ value }) => !isTaskEnd(value.state));
    await Promise.all(
      open.map(async ({ value: { taskId: id, tenant } }, index) => {
        const api = apis.find((one) => one.tenant === tenant)!;
        const { status } = await api.post(index, `/api/tasks/${id}/cancel`, {});
        if (status === 0 || status >= 500)
          this.#violations.push({ invariant: 2, what: `the end of task ${id} was answered ${status}` });
      }),
    );
  }

  /** Waits until nothing is left, or until it should not be there any more. */
  async #drain(sources: Sources, endedAtMs: RunMs): Promise<Remains> {
    for (;;) {
      const remains = await collectRemains(sources);
      const left = whatIsLeft(remains);
      if (left.length === 0 || remains.atMs > endedAtMs + DRAIN_MS) return remains;
      await sleep(1000);
    }
  }
}

/** `agent-host-1` registers as `host-1`. */
const hostIdOf = (name: string): string => name.replace("agent-host", "host");

const seconds = (ms: RunMs): string => `${(ms / 1000).toFixed(1).padStart(6)} s`;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
