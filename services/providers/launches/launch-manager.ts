// The launches that this instance owns: begins them, takes over abandoned ones, and looks at each when it is due.
import type { Seen } from "../../../libs/bus/bucket-view.ts";
import { Lease } from "../../../libs/bus/lease.ts";
import { launches } from "../../../libs/contracts/buckets.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { RoomEvent } from "../../../libs/contracts/fleet/pool.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import { Launch, type LaunchDeps, leaseRules, stamped } from "./launch.ts";

export type Intent = Omit<LaunchRecord, "v" | "state" | "by" | "takeovers" | "at" | "writeId">;

interface Managed {
  readonly launch: Launch;
  /** Work on a launch runs one piece at a time; the next begins when this has ended. */
  work: Promise<void> | undefined;
  /** Failures in a row, for the pause before the next try. */
  failures: number;
}

const LOOK_MS = 50;
/** Work in progress per provider at most, so that a slow provider does not delay the others. */
const MAX_CONCURRENT = 64;
/** After this time an unconfirmed intent is taken over like any other. */
const UNCONFIRMED_MS = 60_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

export class LaunchManager {
  readonly #deps: LaunchDeps;
  readonly #managed = new Map<string, Managed>();
  readonly #working = new Map<string, number>();
  /** The write ids of intents that may or may not be saved, by key. */
  readonly #unconfirmed = new Map<string, string>();
  #cancelLook: (() => void) | undefined;
  #isStopping = false;

  constructor(deps: LaunchDeps) {
    this.#deps = deps;
  }

  records(): LaunchRecord[] {
    return [...this.#managed.values()].map(({ launch }) => launch.record);
  }

  has(key: string): boolean {
    return this.#managed.has(key);
  }

  /**
   * Saves the intent and launches it in the background. A saved intent is never forgotten.
   * @returns false when this attempt was begun before, by any instance
   * @throws GreenroomError storage_unavailable, storage_full: then nothing is launched
   */
  async begin(intent: Intent): Promise<boolean> {
    const { instance } = this.#deps;
    const record = stamped(this.#deps, { v: 1, ...intent, state: "intended", by: instance, takeovers: 0 });
    const lease = await Lease.acquire(leaseRules(this.#deps), record, 0).catch((error: unknown) => {
      this.#rememberUnconfirmed(record);
      throw error;
    });
    if (lease === undefined) return false;
    this.#launch(lease);
    return true;
  }

  /**
   * Continues an intent of this instance that was saved although the answer was lost. Nobody has asked the provider
   * for it yet.
   * @returns false for any other record
   */
  recoverUnconfirmed({ key, record, revision, seenAtMs }: Seen<LaunchRecord>): boolean {
    if (this.#unconfirmed.get(key) !== record.writeId) return false;
    this.#unconfirmed.delete(key);
    this.#launch(new Lease(leaseRules(this.#deps), record, revision, seenAtMs));
    return true;
  }

  #rememberUnconfirmed(intent: LaunchRecord): void {
    const key = launches.keyOf(intent);
    this.#unconfirmed.set(key, intent.writeId);
    this.#deps.clock.after(UNCONFIRMED_MS, () => {
      if (this.#unconfirmed.get(key) === intent.writeId) this.#unconfirmed.delete(key);
    });
  }

  #launch(lease: Lease<LaunchRecord>): void {
    const managed = this.#manage(lease);
    void this.#run(managed, () => managed.launch.launch());
  }

  /** Acquires a launch whose owner is dead, unless another instance is faster. */
  async takeOver({ record, revision }: Seen<LaunchRecord>): Promise<void> {
    const { instance, log } = this.#deps;
    const { sessionId, attempt, state, by: from, takeovers } = record;
    const mine = stamped(this.#deps, { ...record, by: instance, takeovers: takeovers + 1 });
    const lease = await Lease.acquire(leaseRules(this.#deps), mine, revision);
    if (lease === undefined) return;
    log.warn({ sessionId, attempt, state, from }, "took over a launch of a dead instance");
    this.#manage(lease);
  }

  /** Another instance wrote the launch at this revision and owns it by now. */
  supersede(key: string, revision: number): void {
    this.#managed.get(key)?.launch.lease.supersede(revision);
  }

  /** See `Launch.hint`. */
  hint(event: RoomEvent): void {
    for (const { launch } of this.#managed.values())
      if (launch.record.room === event.room) launch.hint(event);
  }

  /**
   * Ends a launch now; a failure is retried in the background.
   * @returns false when another instance owns the launch, or none does
   */
  async end(key: string, reason: string): Promise<boolean> {
    const managed = this.#managed.get(key);
    if (managed === undefined) return false;
    // Several callers may wait here: the first one to continue has started the next work.
    while (managed.work !== undefined) await managed.work;
    if (!managed.launch.isReleased) await this.#run(managed, () => managed.launch.finish(reason));
    return true;
  }

  /** Looks at launches no longer, except for work in progress. */
  stopLooking(): void {
    this.#isStopping = true;
    this.#cancelLook?.();
  }

  /** Looks at every launch that is due, as long as there are launches. */
  #keepLooking(): void {
    if (this.#cancelLook !== undefined || this.#isStopping || this.#managed.size === 0) return;
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => {
      this.#cancelLook = undefined;
      this.#lookAtDue();
      this.#keepLooking();
    });
  }

  #lookAtDue(): void {
    const now = this.#deps.clock.monotonic();
    for (const managed of this.#managed.values()) {
      if (managed.work !== undefined || !managed.launch.isDue(now)) continue;
      if ((this.#working.get(managed.launch.record.provider) ?? 0) >= MAX_CONCURRENT) continue;
      void this.#run(managed, () => managed.launch.look());
    }
  }

  /** The number of launches whose end only this process can learn. */
  unfinished(): number {
    const { providers } = this.#deps;
    return [...this.#managed.values()].filter(({ work, launch }) => {
      const provider = providers.get(launch.record.provider);
      if (provider?.isUnfinished === undefined || launch.isReleased) return false;
      return work !== undefined || provider.isUnfinished(launch.record);
    }).length;
  }

  /** Waits for the work in progress. Unfinished launches stay as saved, for another instance. */
  async drain(): Promise<void> {
    await Promise.all([...this.#managed.values()].map(({ work }) => work));
  }

  #manage(lease: Lease<LaunchRecord>): Managed {
    const managed: Managed = { launch: new Launch(this.#deps, lease), work: undefined, failures: 0 };
    this.#managed.set(launches.keyOf(lease.record), managed);
    this.#keepLooking();
    return managed;
  }

  #run(managed: Managed, work: () => Promise<void>): Promise<void> {
    const { launch } = managed;
    const { provider } = launch.record;
    const count = (by: number) => this.#working.set(provider, (this.#working.get(provider) ?? 0) + by);
    count(1);
    managed.work = work()
      .then(() => {
        managed.failures = 0;
      })
      .catch((error: unknown) => this.#onFailure(managed, error))
      .finally(() => {
        count(-1);
        managed.work = undefined;
        const key = launches.keyOf(launch.record);
        if (launch.isReleased && this.#managed.get(key) === managed) this.#managed.delete(key);
      });
    return managed.work;
  }

  #onFailure(managed: Managed, error: unknown): void {
    managed.failures += 1;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, managed.failures - 1));
    managed.launch.lookLater(pauseMs);
    const { sessionId, attempt, provider, state } = managed.launch.record;
    const fields = { sessionId, attempt, provider, state, reason: messageOf(error), pauseMs, retrying: true };
    if (managed.failures === 3) this.#deps.log.warn(fields, "failed to process a launch");
    else this.#deps.log.debug(fields, "failed to process a launch");
  }
}
