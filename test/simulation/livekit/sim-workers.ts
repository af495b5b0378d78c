// Simulated workers of LiveKit's agent framework: accept dispatches, late or never, and run a job for each.

import type { Random } from "../../kit/random.ts";
import type { SimClock } from "../../kit/sim-clock.ts";
import type { Coverage } from "../checks/coverage.ts";
import type { Facts } from "../checks/facts.ts";
import type { Misbehaviour, Scenario } from "../scenario.ts";
import type { Trace } from "../trace.ts";
import type { SimDispatch } from "./sim-agent-dispatch.ts";
import { SimJob } from "./sim-job.ts";
import type { SimLiveKit } from "./sim-livekit.ts";

export interface WorkersWorld {
  readonly livekit: SimLiveKit;
  readonly clock: SimClock;
  readonly facts: Facts;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly scenario: Scenario;
  readonly isCalm: boolean;
  misbehaviour(): Misbehaviour;
}

/** Until the server has found a worker that accepts. */
const ACCEPT_MS: readonly [number, number] = [2, 200];
/** Until the job's process starts, at once or after other jobs. */
const START_MS: readonly [number, number] = [10, 300];
const LATE_MS: readonly [number, number] = [500, 9000];
/** LiveKit lists an accepted job within this time. */
const LISTED_WITHIN_MS = 5000;

export class SimWorkers {
  readonly #world: WorkersWorld;
  readonly #random: Random;
  readonly #jobs = new Set<SimJob>();
  #accepted = 0;

  constructor(world: WorkersWorld, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  /** Jobs that are in a room or about to join one. */
  jobs(): SimJob[] {
    for (const job of this.#jobs) if (job.isOver) this.#jobs.delete(job);
    return [...this.#jobs];
  }

  /** Offers a dispatch to the workers once; LiveKit drops a dispatch that nobody accepts. */
  launch(dispatch: SimDispatch): void {
    const { clock, coverage, isCalm, scenario } = this.#world;
    const { late = 0, refuses = 0, untaken = 0 } = scenario.outside ?? {};
    if (!isCalm && this.#random() < untaken) {
      coverage.count("untaken dispatches");
      return;
    }
    const isRefused = !isCalm && this.#random() < refuses;
    const isLate = !isCalm && this.#random() < late;
    if (isLate) coverage.count("late dispatches");
    clock.after(this.#between(...ACCEPT_MS), () => {
      const startsInMs = this.#between(...(isLate ? LATE_MS : START_MS));
      const listedAtMs = clock.monotonic() + this.#random() ** 2 * LISTED_WITHIN_MS;
      const job = new SimJob(++this.#accepted, dispatch, startsInMs, listedAtMs, this.#jobWorld());
      dispatch.jobs.push(job);
      this.#jobs.add(job);
      if (isRefused) job.refuse();
    });
  }

  resumeAll(): void {
    for (const job of this.#jobs) job.resume();
  }

  #jobWorld() {
    const { clock, facts, livekit, trace } = this.#world;
    return {
      facts,
      livekit,
      trace,
      reportsEnds: this.#world.scenario.outside?.reportsEnds ?? false,
      clock: clock.forProcess(),
      monotonic: () => clock.monotonic(),
      dice: (what: keyof Misbehaviour) => {
        const chance = this.#world.misbehaviour()[what];
        return chance > 0 && this.#random() < chance;
      },
      between: (from: number, to: number) => this.#between(from, to),
    };
  }

  #between(from: number, to: number): number {
    return from + this.#random() * (to - from);
  }
}
