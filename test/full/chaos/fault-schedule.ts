// Injects a fault every few seconds. The seed decides which, where and for how long.
import { messageOf } from "../../../libs/contracts/errors.ts";
import { forkRandom, integerBetween, pickOne, type Random } from "../../kit/random.ts";
import type { Fault, RunMs } from "./evidence.ts";
import type { FaultKind, FaultScene } from "./fault.ts";
import { faultKinds } from "./faults.ts";
import type { World } from "./world.ts";

const PAUSE_MS: readonly [number, number] = [800, 4500];
const AT_ONCE = 3;
const TRIES_FIRST = 3;
/** The probability that a host is struck only while the other one is well. */
const SPARED = 0.85;

interface Options {
  readonly world: World;
  readonly seed: number;
  readonly now: () => RunMs;
  readonly log: (line: string) => void;
  readonly hostRecord: FaultScene["hostRecord"];
  readonly forge: FaultScene["forge"];
}

export class FaultSchedule {
  readonly faults: Fault[] = [];
  /** Faults that could not be injected or ended: failures of the run, not of Greenroom. */
  readonly problems: string[] = [];
  readonly #options: Options;
  readonly #random: Random;
  /** Kinds that have not struck yet, with their remaining preferred tries, so that a short run has all kinds. */
  readonly #notYet = new Map(faultKinds.map((kind) => [kind, TRIES_FIRST]));
  readonly #held = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: Options) {
    this.#options = options;
    this.#random = forkRandom(options.seed, "faults");
  }

  /** Injects faults until a time, and waits until all are over. */
  async runUntil(untilMs: RunMs, isStopped: () => boolean): Promise<void> {
    while (this.#options.now() < untilMs && !isStopped()) {
      await sleep(integerBetween(this.#random, ...PAUSE_MS));
      if (this.#underWay.size >= AT_ONCE) continue;
      const fault = this.#inject(this.#choose(), untilMs);
      this.#underWay.add(fault);
      void fault.finally(() => this.#underWay.delete(fault));
    }
    await Promise.all(this.#underWay);
  }

  #choose(): FaultKind {
    const kinds = this.#notYet.size > 0 ? [...this.#notYet.keys()] : faultKinds;
    const total = kinds.reduce((sum, { weight }) => sum + weight, 0);
    let left = this.#random() * total;
    for (const fault of kinds) {
      left -= fault.weight;
      if (left < 0) return this.#tried(fault);
    }
    return this.#tried(kinds[0]!);
  }

  /** Counts a try, so that a kind without a target or a permission doesn't block the others for ever. */
  #tried(fault: FaultKind): FaultKind {
    const left = (this.#notYet.get(fault) ?? 0) - 1;
    if (left > 0) this.#notYet.set(fault, left);
    else this.#notYet.delete(fault);
    return fault;
  }

  async #inject(fault: FaultKind, untilMs: RunMs): Promise<void> {
    const { now, log } = this.#options;
    // Chosen before the first await, so that the random numbers don't depend on timing.
    const holdMs = integerBetween(this.#random, ...fault.holdMs);
    const held = new Set<string>();
    if (fault.needs === "nats" || fault.needs === "livekit") {
      if (this.#held.has(fault.needs)) return;
      this.#hold(fault.needs, held);
    }
    const fromMs = now();
    let target = "";
    try {
      const strike = await fault.strike(this.#scene(held));
      if (strike === undefined) return;
      target = strike.target;
      this.#notYet.delete(fault);
      log(`${seconds(fromMs)} ${fault.kind}: ${target}, for ${(holdMs / 1000).toFixed(1)} s`);
      await sleep(Math.max(0, Math.min(holdMs, untilMs - now())));
      await strike.cure();
    } catch (error) {
      this.problems.push(`${fault.kind} (${target}): ${messageOf(error)}`);
    } finally {
      for (const key of held) this.#held.delete(key);
    }
    if (target !== "") this.faults.push({ kind: fault.kind, target, fromMs, untilMs: now() });
  }

  #scene(held: Set<string>): FaultScene {
    const { world, hostRecord, forge } = this.#options;
    return {
      world,
      random: this.#random,
      hostRecord,
      forge,
      freeService: (kinds) => {
        const sparesHosts = this.#random() < SPARED;
        const [first, ...others] = world.services
          .filter(({ service, isRunning }) => isRunning && (kinds === undefined || kinds.includes(service)))
          .map(({ name }) => name)
          .filter((name) => !this.#held.has(name) && this.#mayBeHurt(name, sparesHosts));
        if (first === undefined) return undefined;
        const name = pickOne(this.#random, [first, ...others]);
        this.#hold(name, held);
        return name;
      },
    };
  }

  /** Mostly spares one host, because a failover needs a host. */
  #mayBeHurt(name: string, sparesHosts: boolean): boolean {
    const { services } = this.#options.world;
    if (!sparesHosts || !name.startsWith("agent-host")) return true;
    return services.every(
      (other) =>
        other.service !== "agent-host" ||
        other.name === name ||
        (other.isRunning &&
          !this.#held.has(other.name) &&
          this.#options.hostRecord(other.name) !== undefined),
    );
  }

  #hold(key: string, held: Set<string>): void {
    this.#held.add(key);
    held.add(key);
  }
}

const seconds = (ms: RunMs): string => `${(ms / 1000).toFixed(1).padStart(6)} s`;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
