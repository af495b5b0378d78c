// A simulated agent process: does what services/agent-host/agent-process/main.ts does, with agents that may misbehave.

import type { PoolSettings } from "../../../libs/contracts/fleet/pool.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type {
  HostToProcess,
  JobRequest,
  ProcessStart,
  ProcessToHost,
} from "../../../services/agent-host/pool/messages.ts";
import type { ProcessLink, ProcessListener } from "../../../services/agent-host/pool/supervised-process.ts";
import type { Random } from "../../kit/random.ts";
import type { ProcessClock } from "../../kit/sim-clock.ts";
import type { Conversations } from "../checks/conversations.ts";
import type { Facts } from "../checks/facts.ts";
import type { SimLiveKit } from "../livekit/sim-livekit.ts";
import type { Misbehaviour } from "../scenario.ts";
import type { Trace } from "../trace.ts";
import { SimAgent } from "./sim-agent.ts";

export interface AgentProcessWorld {
  readonly livekit: SimLiveKit;
  readonly clock: Clock;
  readonly conversations: Conversations;
  readonly facts: Facts;
  readonly trace: Trace;
  readonly random: Random;
  readonly pool: PoolSettings;
  /** The current probabilities of misbehaviour on a host. */
  misbehaviour(host?: string): Misbehaviour;
  /** Called when a host releases a busy agent. */
  onFreed(host: string, job: JobRequest | undefined, reason: string): void;
}

/** The delay of the channel between a host and its agent process, which keeps the order. */
const CHANNEL_MS = 1;
/** How long an agent process outlives its host. */
const ORPHANED_MS = 1000;

export class SimAgentProcess implements ProcessLink {
  readonly pid: number;
  readonly name: string;
  readonly #world: AgentProcessWorld;
  readonly #start: ProcessStart;
  readonly #clock: ProcessClock;
  /** The host's clock, on which messages from the agent process arrive. */
  readonly #hostClock: ProcessClock;
  readonly #listener: ProcessListener;
  readonly #agents = new Map<string, SimAgent>();
  readonly #warming = new Set<string>();
  #isDead = false;
  #isHung = false;
  #responsiveSinceMs = 0;

  constructor(
    world: AgentProcessWorld,
    name: string,
    pid: number,
    start: ProcessStart,
    clocks: { own: ProcessClock; host: ProcessClock },
    listener: ProcessListener,
  ) {
    this.#world = world;
    this.name = name;
    this.pid = pid;
    this.#start = start;
    this.#clock = clocks.own;
    this.#hostClock = clocks.host;
    this.#listener = listener;
    this.#clock.after(this.#between(20, 300), () => this.#load());
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  send(message: HostToProcess): void {
    if (this.#isDead) return;
    this.#clock.after(CHANNEL_MS, () => this.#handle(message));
  }

  kill(): void {
    this.die("SIGKILL");
  }

  /** Ends at once without notifying anybody. */
  die(reason: string): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#clock.kill();
    this.#world.trace.note(this.name, `is dead (${reason})`);
    for (const agent of this.#agents.values()) agent.vanish();
    this.#hostClock.after(CHANNEL_MS, () => this.#listener.onExit(`the agent process ended (${reason})`));
  }

  /** Blocks the event loop: the process neither receives nor sends messages, and its media continues. */
  hang(): void {
    if (this.#isDead) return;
    this.#world.trace.note(this.name, "hangs");
    this.#isHung = true;
    this.#clock.pause();
  }

  resume(): void {
    if (this.#isHung) this.#responsiveSinceMs = this.#world.clock.monotonic();
    this.#isHung = false;
    this.#clock.resume();
  }

  /** Leaves the rooms and ends, because the host is gone. */
  orphan(): void {
    if (this.#isDead) return;
    this.#clock.after(this.#between(0, 200), () => {
      for (const agent of this.#agents.values()) agent.leaveRoom();
    });
    this.#clock.after(ORPHANED_MS, () => this.die("its host is gone"));
  }

  #send(message: ProcessToHost): void {
    if (this.#isDead) return;
    this.#hostClock.after(CHANNEL_MS, () => this.#listener.onMessage(message));
  }

  #load(): void {
    if (this.#dice("loadFails")) {
      this.#send({ type: "load_failed", error: "the file can't be loaded" });
      return;
    }
    const { version } = this.#start;
    this.#send({
      type: "loaded",
      pool: this.#world.pool,
      isolation: "shared",
      ...(version === undefined ? {} : { version }),
    });
  }

  #handle(message: HostToProcess): void {
    switch (message.type) {
      case "warm":
        this.#warm(message.slot);
        return;
      case "connect_standby":
        this.#agents.get(message.slot)?.connectStandby(message.token);
        return;
      case "run":
        this.#run(message);
        return;
      case "release":
        this.#release(message.slot, message.reason);
        return;
      case "ping":
        this.#send({ type: "pong", memoryMb: 100, lagMs: 0 });
    }
  }

  #warm(slot: string): void {
    this.#warming.add(slot);
    this.#clock.after(this.#between(5, 400), () => {
      if (this.#dice("warmFails")) {
        this.#warming.delete(slot);
        this.#send({ type: "warm_failed", slot, error: "prewarm threw" });
        return;
      }
      if (!this.#warming.delete(slot)) return;
      this.#agents.set(slot, this.#makeAgent(slot));
      this.#send({ type: "warm", slot, tookMs: 10 });
    });
  }

  #makeAgent(slot: string): SimAgent {
    const { livekit, facts, trace } = this.#world;
    return new SimAgent(slot, {
      host: this.name.split("/")[0] ?? "",
      livekit,
      facts,
      trace,
      clock: this.#clock,
      send: (message) => this.#send(message),
      dice: (what) => this.#dice(what),
      between: (from, to) => this.#between(from, to),
      responsiveSinceMs: () => this.#responsiveSinceMs,
      isResponsive: () => !this.#isHung,
      onResumes: (job) => this.#world.conversations.onResumes(this.name.split("/")[0] ?? "", job),
      onClosed: () => this.#agents.delete(slot),
      dieHere: (reason) => this.die(reason),
      hangHere: () => this.hang(),
      reportStrayError: () => this.#send({ type: "unhealthy", error: "an error that belongs to no session" }),
    });
  }

  #run({ slot, job }: Extract<HostToProcess, { type: "run" }>): void {
    const agent = this.#agents.get(slot);
    if (agent === undefined || agent.isBusy) {
      const reason = "the slot does not exist any more";
      this.#send({ type: "ended", slot, reason, lost: false, error: { message: reason, retryable: true } });
      this.#send({ type: "closed", slot });
      return;
    }
    this.#world.trace.note(
      this.name,
      `runs ${this.#world.trace.nameOf(job.sessionId)}#${job.attempt} of ${this.#start.profile} in ${slot}`,
    );
    agent.run(job);
  }

  #release(slot: string, reason: string): void {
    const agent = this.#agents.get(slot);
    if (agent?.isBusy) {
      this.#world.onFreed(this.name.split("/")[0] ?? "", agent.jobNow, reason);
      agent.release(reason);
      return;
    }
    this.#warming.delete(slot);
    this.#agents.delete(slot);
    agent?.leaveRoom();
    this.#send({ type: "closed", slot });
  }

  #dice(what: keyof Misbehaviour): boolean {
    const chance = this.#world.misbehaviour(this.#start.host)[what];
    return chance > 0 && this.#world.random() < chance;
  }

  #between(from: number, to: number): number {
    return from + this.#world.random() * (to - from);
  }
}
