// One simulated process: it lives, dies and is started again, as under a supervisor.

import { messageOf } from "../../libs/contracts/errors.ts";
import type { ProcessClock, SimClock } from "../kit/sim-clock.ts";
import type { MemoryClient } from "./nats/memory-bus.ts";
import type { Trace } from "./trace.ts";

export type Kind = "gateway" | "dispatcher" | "agent-host" | "janitor" | "providers" | "tasks" | "calls";

/** One life of a process, from its start to its end. */
export interface Life {
  /** Never the same twice. */
  readonly instance: string;
  readonly number: number;
  readonly client: MemoryClient;
  readonly clock: ProcessClock;
  /** Ends this life by its own wish, as `process.exit` does. */
  quit(reason: string): void;
  /** Calls when the process is dead, however it died: for what it leaves behind. */
  whenDead(call: () => void): void;
}

export interface Running {
  /** Ends in good order; the process exits after it. */
  stop(): Promise<void>;
}

export interface ProcessDeps {
  readonly clock: SimClock;
  readonly trace: Trace;
  readonly connect: (instance: string) => MemoryClient;
  /** How far its wall clock is off, in ms; asked at each look at the clock. */
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

  /** It is started, and neither paused nor about to stop. */
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
    this.#deps.trace.note(this.name, `starts its life ${this.#lives}`);
    this.#start(life).then(
      (running) => {
        if (this.#life === life) this.#running = running;
      },
      (error: unknown) => life.quit(messageOf(error)),
    );
  }

  /** As `kill -9`; it is started again after a while. */
  crash(againAfterMs: number): void {
    if (this.#life !== undefined) this.#die("is killed", againAfterMs);
  }

  /** As SIGTERM in a deploy: it finishes what it has in hand, and a new one is started. */
  deploy(limitMs: number): void {
    const life = this.#life;
    const running = this.#running;
    if (life === undefined || running === undefined || this.#isStopping || this.#isPaused) return;
    this.#isStopping = true;
    this.#deps.trace.note(this.name, "is told to stop");
    const gone = () => {
      if (this.#life === life) this.#die("has stopped");
    };
    running.stop().then(gone, gone);
    this.#deps.clock.after(limitMs, gone);
  }

  pause(): void {
    if (this.#life === undefined || this.#isPaused) return;
    this.#deps.trace.note(this.name, "is stopped by SIGSTOP");
    this.#isPaused = true;
    this.#life.client.pause();
    this.#life.clock.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#deps.trace.note(this.name, "goes on by SIGCONT");
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

  #die(reason: string, againAfterMs = RESTART_MS): void {
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
    if (!this.#isOver) this.#cancelBoot = clock.after(againAfterMs, () => this.boot());
  }
}
