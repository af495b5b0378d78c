// Empties a host: nothing new, time for what runs, and then its sessions go to other hosts one by one.
import type { HostRecord, OnDeadline } from "../../../libs/contracts/fleet/host.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { Assignment, Slot } from "../pool/slots.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly hostId: string;
  readonly pools: ReadonlyMap<string, DrainedPool>;
  readonly hosts: () => readonly HostRecord[];
  readonly handOver: (of: Assignment, reason: string) => void;
  readonly onChange: () => void;
}

/** What a drain needs of a pool. */
interface DrainedPool {
  drain(): void;
  resume(): void;
  busySlots(): Slot[];
}

export interface DrainOptions {
  /** How long running sessions may go on. */
  readonly deadlineMs: number;
  readonly onDeadline: OnDeadline;
}

const LOOK_MS = 100;

export class Drain {
  readonly #deps: Deps;
  readonly #handedOver = new WeakSet<Assignment>();
  #isOn = false;
  #stop = () => {};

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Begins, or goes on with other options. */
  begin({ deadlineMs, onDeadline }: DrainOptions): void {
    const { clock, pools, onChange } = this.#deps;
    this.#stop();
    if (!this.#isOn) for (const pool of pools.values()) pool.drain();
    this.#isOn = true;
    onChange();
    if (onDeadline === "wait") return;
    const since = clock.monotonic();
    const look = () => {
      if (clock.monotonic() - since >= deadlineMs) this.#handOver();
    };
    look();
    this.#stop = repeat(clock, LOOK_MS, look, () => {});
  }

  /** The host takes sessions again. One that was handed over already goes its way. */
  undo(): void {
    if (!this.#isOn) return;
    this.#stop();
    this.#isOn = false;
    for (const pool of this.#deps.pools.values()) pool.resume();
    this.#deps.onChange();
  }

  stop(): void {
    this.#stop();
  }

  /** Whether there is any other host that could ever take what is left here. */
  get isWorthWaiting(): boolean {
    const others = this.#others();
    return [...this.#deps.pools].some(
      ([profile, pool]) =>
        pool.busySlots().length > 0 && others.some((host) => host.profiles[profile]?.status === "running"),
    );
  }

  /** Only as many as the others have room for: until there is, a session is best served where it is. */
  #handOver(): void {
    const { handOver, hostId, log, pools } = this.#deps;
    const others = this.#others();
    for (const [profile, pool] of pools) {
      const left = pool.busySlots().flatMap(({ assignment }) => assignment ?? []);
      const isUnderWay = (of: Assignment) => this.#handedOver.has(of);
      const free = roomFor(others, profile) - left.filter(isUnderWay).length;
      const next = left.filter((of) => !isUnderWay(of) && !of.isReleased).slice(0, Math.max(0, free));
      for (const assignment of next) {
        this.#handedOver.add(assignment);
        log.info({ sessionId: assignment.sessionId, attempt: assignment.attempt }, "handing a session over");
        handOver(assignment, `host ${hostId} drains`);
      }
    }
  }

  #others(): HostRecord[] {
    return this.#deps.hosts().filter(({ hostId: id, draining }) => id !== this.#deps.hostId && !draining);
  }
}

/** How many more sessions of a profile these hosts could serve, by their own last words. */
export function roomFor(hosts: readonly HostRecord[], profile: string): number {
  return hosts.reduce((sum, host) => {
    const present = host.profiles[profile];
    if (present === undefined || present.status !== "running") return sum;
    const busyOnHost = Object.values(host.profiles).reduce((all, { busy }) => all + busy, 0);
    return sum + Math.max(0, Math.min(present.max - present.busy, host.maxAgents - busyOnHost));
  }, 0);
}
