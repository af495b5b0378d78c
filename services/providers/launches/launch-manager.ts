// The launches that this instance follows: begins them, takes over what others left, and looks at each in its time.
import { launches } from "../../../libs/contracts/buckets.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import { Launch, type LaunchDeps, written } from "./launch.ts";

export type Intent = Omit<LaunchRecord, "v" | "state" | "by" | "takeovers" | "at" | "writeId">;

interface Kept {
  readonly launch: Launch;
  /** One thing at a time is done about a launch; the next begins when this has ended. */
  inHand: Promise<void> | undefined;
  /** Tries in a row that failed, for the pause before the next. */
  failures: number;
}

/** In hand at once with one provider, so that a slow one doesn't hold up the others. */
const AT_ONCE = 64;
/** After that an intent of which nobody knew is taken up as any other. */
const UNCLEAR_MS = 60_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

export class LaunchManager {
  readonly #deps: LaunchDeps;
  readonly #kept = new Map<string, Kept>();
  readonly #inHand = new Map<string, number>();
  /** The marks of intents of which nobody knows whether they were saved, by their keys. */
  readonly #unclear = new Map<string, string>();

  constructor(deps: LaunchDeps) {
    this.#deps = deps;
  }

  get count(): number {
    return this.#kept.size;
  }

  /** As they stand. */
  records(): LaunchRecord[] {
    return [...this.#kept.values()].map(({ launch }) => launch.record);
  }

  has(key: string): boolean {
    return this.#kept.has(key);
  }

  /**
   * Saves the intent and goes on from there by itself: once it is saved it is never forgotten.
   * @returns false when this session's attempt was begun before, here or elsewhere
   * @throws GreenroomError storage_unavailable, storage_full: then nothing is launched
   */
  async begin(intent: Intent): Promise<boolean> {
    const { bus, clock, instance } = this.#deps;
    const beganAtMs = clock.monotonic();
    const launch = written(this.#deps, { v: 1, ...intent, state: "intended", by: instance, takeovers: 0 });
    const revision = await bus.kv.update(launches, launch, 0).catch((error: unknown) => {
      this.#remember(launch);
      throw error;
    });
    if (revision === undefined) return false;
    this.#launch(launch, revision, beganAtMs);
    return true;
  }

  /**
   * Goes on with an intent that was saved from here although the answer said otherwise: nobody has asked for it yet.
   * @param seenAtMs when it was first seen to stand so
   * @returns false when it is none of these
   */
  recoverUnconfirmed(intent: LaunchRecord, revision: number, seenAtMs: number): boolean {
    const key = launches.keyOf(intent);
    if (this.#unclear.get(key) !== intent.writeId) return false;
    this.#unclear.delete(key);
    this.#launch(intent, revision, seenAtMs);
    return true;
  }

  /** For as long as it may still turn out to be stored. */
  #remember(intent: LaunchRecord): void {
    const key = launches.keyOf(intent);
    this.#unclear.set(key, intent.writeId);
    this.#deps.clock.after(UNCLEAR_MS, () => {
      if (this.#unclear.get(key) === intent.writeId) this.#unclear.delete(key);
    });
  }

  #launch(intent: LaunchRecord, revision: number, heldAtMs: number): void {
    const kept = this.#keep(intent, revision, heldAtMs);
    void this.#hand(kept, () => kept.launch.launch());
  }

  /** Takes over a launch whose instance is gone. @returns false when another instance was faster */
  async takeUp(launch: LaunchRecord, revision: number): Promise<boolean> {
    const { bus, clock, instance, log } = this.#deps;
    const beganAtMs = clock.monotonic();
    const mine = written(this.#deps, { ...launch, by: instance, takeovers: launch.takeovers + 1 });
    const saved = await bus.kv.update(launches, mine, revision);
    if (saved === undefined) return false;
    const { sessionId, attempt, state, by: from } = launch;
    log.warn({ sessionId, attempt, state, from }, "took over a launch whose instance is gone");
    this.#keep(mine, saved, beganAtMs);
    return true;
  }

  /** Another instance wrote it at this revision, and follows it by now. */
  drop(key: string, revision: number): void {
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.launch.revision < revision) kept.launch.isReleased = true;
  }

  /** See KeptLaunch.hint. */
  hint(room: string, identity: string | undefined, leftInOrder: string | undefined): void {
    for (const { launch } of this.#kept.values())
      if (launch.record.room === room) launch.hint(identity, leftInOrder);
  }

  /**
   * Ends a launch now. What can't be ended is tried again by itself.
   * @returns false when it isn't kept here
   */
  async end(key: string, reason: string): Promise<boolean> {
    const kept = this.#kept.get(key);
    if (kept === undefined) return false;
    // Others may wait for the same: whoever was first has it in hand again by now.
    while (kept.inHand !== undefined) await kept.inHand;
    if (!kept.launch.isReleased) await this.#hand(kept, () => kept.launch.finish(reason));
    return true;
  }

  /** Looks at every launch whose time has come. */
  tick(): void {
    const now = this.#deps.clock.monotonic();
    for (const kept of this.#kept.values()) {
      if (kept.inHand !== undefined || !kept.launch.isDue(now)) continue;
      if ((this.#inHand.get(kept.launch.record.provider) ?? 0) >= AT_ONCE) continue;
      void this.#hand(kept, () => kept.launch.look());
    }
  }

  /** How many launches there are whose end would be lost with this process. */
  unfinished(): number {
    const { providers } = this.#deps;
    return [...this.#kept.values()].filter(({ inHand, launch }) => {
      const provider = providers.get(launch.record.provider);
      if (provider?.isUnfinished === undefined || launch.isReleased) return false;
      return inHand !== undefined || provider.isUnfinished(launch.record);
    }).length;
  }

  /** Answers when nothing is in hand any more; what is left stays as it was saved, for another instance. */
  async settle(): Promise<void> {
    await Promise.all([...this.#kept.values()].map(({ inHand }) => inHand));
  }

  #keep(record: LaunchRecord, revision: number, heldAtMs: number): Kept {
    const kept: Kept = {
      launch: new Launch(this.#deps, record, revision, heldAtMs),
      inHand: undefined,
      failures: 0,
    };
    this.#kept.set(launches.keyOf(record), kept);
    return kept;
  }

  #hand(kept: Kept, work: () => Promise<void>): Promise<void> {
    const { provider } = kept.launch.record;
    const count = (by: number) => this.#inHand.set(provider, (this.#inHand.get(provider) ?? 0) + by);
    count(1);
    const done = work()
      .then(() => {
        kept.failures = 0;
      })
      .catch((error: unknown) => this.#onFailure(kept, error))
      .finally(() => {
        count(-1);
        kept.inHand = undefined;
        const key = launches.keyOf(kept.launch.record);
        if (kept.launch.isReleased && this.#kept.get(key) === kept) this.#kept.delete(key);
      });
    kept.inHand = done;
    return done;
  }

  #onFailure(kept: Kept, error: unknown): void {
    kept.failures += 1;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, kept.failures - 1));
    kept.launch.lookLater(pauseMs);
    const { sessionId, attempt, provider, state } = kept.launch.record;
    const fields = { sessionId, attempt, provider, state, reason: messageOf(error), pauseMs };
    const what = "nothing is decided about a launch: it is looked at again";
    if (kept.failures === 3) this.#deps.log.warn(fields, what);
    else this.#deps.log.debug(fields, what);
  }
}
