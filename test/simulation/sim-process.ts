// A simulated process, which is restarted after its end, like under a supervisor.

import { messageOf } from "../../libs/contracts/errors.ts";
import type { ProcessClock, SimClock } from "../kit/sim-clock.ts";
import type { MemoryClient } from "./nats/memory-bus.ts";
import type { Trace } from "./trace.ts";

export type Kind = "gateway" | "dispatcher" | "agent-host" | "janitor" | "providers" | "tasks" | "calls";

/** One incarnation of a process, from its start to its end. */
export interface Life {
  /** Unique. */
  readonly instance: string;
  readonly number: number;
  readonly client: MemoryClient;
  readonly clock: ProcessClock;
  /** Ends this incarnation from inside, like `process.exit`. */
  quit(reason: string): void;
  /** Calls back when the process has died, for any reason. */
  whenDead(call: () => void): void;
}

export interface Running {
  /** Shuts down gracefully; the process exits afterwards. */
  stop(): Promise<void>;
}

export interface ProcessDeps {
  readonly clock: SimClock;
  readonly trace: Trace;
  readonly connect: (instance: string) => MemoryClient;
  /** The error of the process's wall clock, in ms; called at each reading of the clock. */
  readonly wallOffsetMs: () => number;
}

const RESTART_MS = 500;

export class SimProcess {
  readonly name: string;
  readonly kind: Kind;
  readonly #deps: ProcessDeps;
  readonly #start: (life: Life) => Promise<Running>;
  #life: Life | undefined;
  #running: Running | undefined;
  #whenDead: (() => void)[] = [];
  #lives = 0;
  #isStopping = false;
  #cancelBoot = () => {};
  #isPaused = false;
  #isOver = false;

  constructor(name: string, kind: Kind, deps: ProcessDeps, start: (life: Life) => Promise<Running>) {
    this.name = name;
    this.kind = kind;
    this.#deps = deps;
    this.#start = start;
  }

  get isAlive(): boolean {
    return this.#life !== undefined;
  }

  /** Whether the process is started, not paused and not stopping. */
  get isUp(): boolean {
    return this.#running !== undefined && !this.#isStopping && !this.#isPaused;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  boot(): void {
    this.#cancelBoot();
    if (this.#life !== undefined || this.#isOver) return;
    const { clock, connect, wallOffsetMs } = this.#deps;
    this.#lives += 1;
    const instance = `${this.name}.${this.#lives}`;
    const own = clock.forProcess();
    const life: Life = {
      instance,
      number: this.#lives,
      client: connect(instance),
      clock: { ...own, now: () => own.now() + wallOffsetMs() },
      quit: (reason) => {
        if (this.#life === life) this.#die(`quits: ${reason}`);
      },
      whenDead: (call) => {
        if (this.#life === life) this.#whenDead.push(call);
        else call();
      },
    };
    this.#life = life;
    this.#deps.trace.note(this.name, `starts as ${instance}`);
    this.#start(life).then(
      (running) => {
        if (this.#life === life) this.#running = running;
      },
      (error: unknown) => life.quit(messageOf(error)),
    );
  }

  /** Kills the process, like `kill -9`, and restarts it later. */
  crash(restartAfterMs: number): void {
    if (this.#life !== undefined) this.#die("is killed", restartAfterMs);
  }

  /** Stops the process gracefully, like SIGTERM in a deployment, and restarts it. */
  deploy(limitMs: number): void {
    const life = this.#life;
    const running = this.#running;
    if (life === undefined || running === undefined || this.#isStopping || this.#isPaused) return;
    this.#isStopping = true;
    this.#deps.trace.note(this.name, "gets SIGTERM");
    const gone = () => {
      if (this.#life === life) this.#die("has stopped");
    };
    running.stop().then(gone, gone);
    this.#deps.clock.after(limitMs, gone);
  }

  pause(): void {
    if (this.#life === undefined || this.#isPaused) return;
    this.#deps.trace.note(this.name, "gets SIGSTOP");
    this.#isPaused = true;
    this.#life.client.pause();
    this.#life.clock.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#deps.trace.note(this.name, "gets SIGCONT");
    this.#isPaused = false;
    this.#life?.clock.resume();
    this.#life?.client.resume();
  }

  cut(): void {
    if (this.#life === undefined) return;
    this.#deps.trace.note(this.name, "is cut off from NATS");
    this.#life.client.cut();
  }

  heal(): void {
    this.#life?.client.heal();
  }

  /** Ends it for good. */
  end(): void {
    this.#isOver = true;
    this.#cancelBoot();
    if (this.#life !== undefined) this.#die("ends with the simulation");
  }

  #die(reason: string, restartAfterMs = RESTART_MS): void {
    const { clock, trace } = this.#deps;
    trace.note(this.name, reason);
    const life = this.#life;
    this.#life = undefined;
    this.#running = undefined;
    this.#isStopping = false;
    this.#isPaused = false;
    life?.clock.kill();
    life?.client.crash();
    const calls = this.#whenDead;
    this.#whenDead = [];
    for (const call of calls) call();
    this.#cancelBoot();
    if (!this.#isOver) this.#cancelBoot = clock.after(restartAfterMs, () => this.boot());
  }
}
