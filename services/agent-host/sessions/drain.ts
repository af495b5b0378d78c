// Empties a host: it takes no new sessions, lets running ones continue for a while, and then migrates them.
import type { HostRecord, OnDeadline } from "../../../libs/contracts/fleet/host.ts";
import { freeAgentCount } from "../../../libs/domain/capacity.ts";
import { type Clock, repeat } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { Assignment, Slot } from "../pool/slots.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly hostId: string;
  readonly pools: ReadonlyMap<string, DrainablePool>;
  readonly hosts: () => readonly HostRecord[];
  readonly migrate: (assignment: Assignment, reason: string) => void;
  readonly onChange: () => void;
}

/** The part of a pool that a drain uses. */
interface DrainablePool {
  drain(): void;
  resume(): void;
  busySlots(): Slot[];
}

export interface DrainOptions {
  /** How long running sessions may continue. */
  readonly deadlineMs: number;
  readonly onDeadline: OnDeadline;
}

const CHECK_MS = 100;

export class Drain {
  readonly #deps: Deps;
  readonly #migrating = new WeakSet<Assignment>();
  #isOn = false;
  #stopChecking = () => {};

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** Begins to drain, or continues with other options. */
  begin({ deadlineMs, onDeadline }: DrainOptions): void {
    const { clock, pools, onChange } = this.#deps;
    this.#stopChecking();
    if (!this.#isOn) for (const pool of pools.values()) pool.drain();
    this.#isOn = true;
    onChange();
    if (onDeadline === "wait") return;
    const since = clock.monotonic();
    const check = () => {
      if (clock.monotonic() - since >= deadlineMs) this.#migrateSessions();
    };
    check();
    this.#stopChecking = repeat(clock, CHECK_MS, check, () => {});
  }

  /** The host takes sessions again. A session that is already migrating continues to migrate. */
  undo(): void {
    if (!this.#isOn) return;
    this.#stopChecking();
    this.#isOn = false;
    for (const pool of this.#deps.pools.values()) pool.resume();
    this.#deps.onChange();
  }

  stop(): void {
    this.#stopChecking();
  }

  /** Whether another host could ever take the remaining sessions. */
  get canMigrate(): boolean {
    const others = this.#otherHosts();
    return [...this.#deps.pools].some(
      ([profile, pool]) =>
        pool.busySlots().length > 0 && others.some((host) => host.profiles[profile]?.status === "running"),
    );
  }

  /** Migrates as many sessions as the other hosts have free agents for. The others are best served here until then. */
  #migrateSessions(): void {
    const { hostId, log, migrate, pools } = this.#deps;
    const others = this.#otherHosts();
    for (const [profile, pool] of pools) {
      // The session of a closing agent has ended, or continues elsewhere already.
      const remaining = pool
        .busySlots()
        .flatMap(({ assignment, state }) => (state === "closing" ? [] : (assignment ?? [])));
      const isMigrating = (assignment: Assignment) => this.#migrating.has(assignment);
      const free = freeAgentCount(others, profile) - remaining.filter(isMigrating).length;
      const next = remaining.filter((assignment) => !isMigrating(assignment) && !assignment.isReleased);
      for (const assignment of next.slice(0, Math.max(0, free))) {
        this.#migrating.add(assignment);
        log.info({ sessionId: assignment.sessionId, attempt: assignment.attempt }, "migrating a session");
        migrate(assignment, `host ${hostId} drains`);
      }
    }
  }

  #otherHosts(): HostRecord[] {
    return this.#deps.hosts().filter(({ hostId, draining }) => hostId !== this.#deps.hostId && !draining);
  }
}
