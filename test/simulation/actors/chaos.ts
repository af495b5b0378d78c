// Chaos: breaks processes, networks and servers of the simulated world until it is healed.
import { pools } from "../../../libs/contracts/buckets.ts";
import { sleep } from "../../../libs/runtime/clock.ts";
import { forkRandom, integerBetween, pickOne, type Random } from "../../kit/random.ts";
import type { ChaosKind } from "../scenario.ts";
import type { Kind, SimProcess } from "../sim-process.ts";
import type { World } from "../world.ts";
import type { Forger } from "./forger.ts";

export class Chaos {
  readonly #world: World;
  readonly #random: Random;
  readonly #forger: Forger;
  #elections = 0;

  constructor(world: World, forger: Forger) {
    this.#world = world;
    this.#random = forkRandom(world.scenario.seed, "chaos");
    this.#forger = forger;
  }

  /** Breaks something at random intervals until the world is healed. */
  async run(): Promise<void> {
    const { clock, scenario } = this.#world;
    const [first, ...others] = scenario.chaos;
    if (first === undefined) return;
    for (;;) {
      await sleep(clock, this.#random() * 2 * scenario.chaosEveryMs);
      if (this.#world.isCalm) return;
      this.#strike(pickOne(this.#random, [first, ...others]));
    }
  }

  #strike(kind: ChaosKind): void {
    const { server, livekit, trace } = this.#world;
    this.#world.coverage.count(`chaos: ${kind}`);
    switch (kind) {
      case "crash":
        this.#pickProcess().crash(this.#ms(100, 8000));
        return;
      case "pause":
        this.#during(this.#pickProcess(), "pause", "resume", this.#ms(300, 26_000));
        return;
      case "cut":
        this.#during(this.#pickProcess(), "cut", "heal", this.#ms(300, 15_000));
        return;
      case "deploy":
        this.#world.drainMs = this.#ms(0, 4000);
        this.#pickProcess().deploy(10_000);
        return;
      case "livekit_away":
        trace.note("livekit", "is down");
        livekit.isDown = true;
        this.#later(this.#ms(500, 8000), () => {
          livekit.isDown = false;
          trace.note("livekit", "is up again");
        });
        return;
      case "livekit_restart":
        trace.note("livekit", "is restarted");
        livekit.restart();
        return;
      case "agent_process_dies":
        this.#pickAgentProcess()?.die("the simulation kills it");
        return;
      case "agent_process_hangs": {
        const agentProcess = this.#pickAgentProcess();
        agentProcess?.hang();
        this.#later(this.#ms(500, 10_000), () => agentProcess?.resume());
        return;
      }
      case "forge":
        void this.#forger.forge();
        return;
      case "store_full":
        trace.note("nats", "is full");
        server.setFaults({ full: true });
        this.#later(this.#ms(500, 4000), () => server.setFaults({ full: false }));
        return;
      case "resize":
        void this.#resize().catch(() => {});
        return;
      case "election":
        this.#elect();
        return;
      case "cut_calls":
        this.#during(this.#pickHostWithCalls(), "cut", "heal", this.#ms(300, 15_000));
        return;
      case "cut_janitor":
        this.#during(this.#pickOf("janitor"), "cut", "heal", this.#ms(300, 15_000));
        return;
      case "cut_livekit": {
        const { name } = this.#pickProcess();
        trace.note(name, "is cut off from LiveKit");
        livekit.cut(name);
        this.#later(this.#ms(500, 30_000), () => livekit.mend(name));
        return;
      }
      case "freeze":
        this.#freeze(this.#pickHostWithCalls());
    }
  }

  /** Freezes a whole machine with its agents and lets it continue later, which makes the host a zombie. */
  #freeze(host: SimProcess): void {
    const { livekit, trace } = this.#world;
    trace.note(host.name, "freezes with all its agents");
    const agentProcesses = this.#world
      .allAgentProcesses()
      .filter(({ name }) => name.startsWith(`${host.name}.`));
    host.pause();
    livekit.cut(host.name);
    for (const agentProcess of agentProcesses) agentProcess.hang();
    this.#later(this.#ms(1000, 20_000), () => {
      host.resume();
      livekit.mend(host.name);
      for (const agentProcess of agentProcesses) agentProcess.resume();
    });
  }

  /** A server of the cluster dies: its streams need new leaders, and its clients need another server. */
  #elect(): void {
    const { server, trace, processes } = this.#world;
    // Another server leads the overflow stream if the janitor has rebalanced leaders since the last election.
    this.#elections += 1;
    const overflowLeads = (this.#world.scenario.seed + this.#elections) % 4 !== 0;
    trace.note("nats", overflowLeads ? "has no leaders except for the overflow stream" : "has no leaders");
    server.loseLeaders(overflowLeads);
    this.#later(this.#ms(300, 9000), () => {
      trace.note("nats", "has leaders again");
      server.lead();
    });
    for (const process of processes) {
      if (this.#random() < 1 / 3) this.#during(process, "cut", "heal", this.#ms(100, 3000));
    }
  }

  async #resize(): Promise<void> {
    const { scenario, server, trace } = this.#world;
    const profile = pickOne(this.#random, scenario.profiles as [string, ...string[]]);
    const min = integerBetween(this.#random, 0, 4);
    const hot = integerBetween(this.#random, 0, min);
    const operator = server.connect("operator");
    const stored = await operator.kv.get(pools, profile);
    const canary = stored?.value.canary === undefined ? {} : { canary: stored.value.canary };
    const target = { ...scenario.pool, profile, min, hot, source: "api" as const, ...canary };
    trace.note("operator", `sets the pool of ${profile} to ${min} agents, ${hot} of them hot`);
    await operator.kv.update(pools, target, stored?.revision ?? 0);
  }

  #during(process: SimProcess, begin: "pause" | "cut", end: "resume" | "heal", ms: number): void {
    process[begin]();
    this.#later(ms, () => process[end]());
  }

  #later(ms: number, work: () => void): void {
    this.#world.clock.after(ms, () => {
      if (!this.#world.isCalm) work();
    });
  }

  #pickProcess(): SimProcess {
    const kinds: [Kind, ...Kind[]] = ["dispatcher", "agent-host", "agent-host", "janitor", "gateway"];
    if (this.#world.scenario.outside !== undefined) kinds.push("providers", "providers", "providers");
    if (this.#world.scenario.calling !== undefined) kinds.push("tasks", "tasks");
    if (this.#world.processes.some((process) => process.kind === "calls")) kinds.push("calls");
    const kind = pickOne(this.#random, kinds);
    if (kind === "providers" || kind === "tasks" || kind === "calls")
      this.#world.coverage.count(`${kind} is struck`);
    return this.#pickOf(kind);
  }

  #pickOf(kind: Kind): SimProcess {
    const candidates = this.#world.processes.filter((process) => process.kind === kind);
    return pickOne(this.#random, candidates as [SimProcess, ...SimProcess[]]);
  }

  #pickHostWithCalls(): SimProcess {
    const serving = new Set(this.#world.facts.allServing().map(({ host }) => host.split(".")[0]));
    const busy = this.#world.processes.filter((process) => serving.has(process.name));
    return pickOne(this.#random, [this.#pickOf("agent-host"), ...busy, ...busy]);
  }

  /** A host's agent process, or a worker's job. */
  #pickAgentProcess() {
    const [first, ...others] = [...this.#world.allAgentProcesses(), ...this.#world.workers.jobs()];
    return first === undefined ? undefined : pickOne(this.#random, [first, ...others]);
  }

  #ms(from: number, to: number): number {
    return from + this.#random() ** 2 * (to - from);
  }
}
