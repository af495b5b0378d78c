// Takes over what other instances left: launches whose instance is dead, and intents that stood still for too long.
import type { Change } from "../../../libs/bus/bus.ts";
import { messageOf } from "../../../libs/contracts/errors.ts";
import type { LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { Clock } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { ProviderDriver } from "../drivers/driver.ts";
import type { LaunchManager } from "./launch-manager.ts";
import type { Liveness } from "./liveness.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly instance: string;
  readonly providers: ReadonlyMap<string, Pick<ProviderDriver, "launchLimitMs">>;
  readonly living: Pick<Liveness, "isDead">;
  readonly keeper: Pick<LaunchManager, "has" | "recoverUnconfirmed" | "takeUp" | "drop">;
}

/** A launch that isn't over, as the bucket has it. */
interface Seen {
  readonly launch: LaunchRecord;
  readonly revision: number;
  /** When this process first saw this revision. */
  readonly seenAtMs: number;
}

/** On top of what a launch may take: the save before it and the one after. */
const SAVING_MS = 10_000;

export class LaunchTakeover {
  readonly #deps: Deps;
  readonly #seen = new Map<string, Seen>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** A launch as the bucket has it. */
  see({ key, value: launch, revision }: Change<LaunchRecord>): void {
    const { clock, instance, keeper } = this.#deps;
    const known = this.#seen.get(key);
    if (known !== undefined && known.revision >= revision) return;
    if (launch === undefined || launch.by !== instance) keeper.drop(key, revision);
    if (launch === undefined || launch.state === "over") this.#seen.delete(key);
    else this.#seen.set(key, { launch, revision, seenAtMs: clock.monotonic() });
  }

  async takeUp(): Promise<void> {
    const { keeper, log } = this.#deps;
    for (const [key, { launch, revision, seenAtMs }] of [...this.#seen]) {
      if (keeper.has(key) || keeper.recoverUnconfirmed(launch, revision, seenAtMs)) continue;
      if (!this.#isLeft(launch, seenAtMs)) continue;
      try {
        // Taken, or lost to another: the bucket tells of it.
        await keeper.takeUp(launch, revision);
      } catch (error) {
        log.debug({ key, reason: messageOf(error) }, "a launch could not be taken up; it is tried again");
      }
    }
  }

  #isLeft(launch: LaunchRecord, seenAtMs: number): boolean {
    const { clock, instance, living, providers } = this.#deps;
    // Who has just written it lives, though its beats be lost.
    if (launch.by !== instance && living.isDead(launch.by, seenAtMs)) return true;
    // One of its own that it doesn't keep was saved, and the store's answer was lost.
    if (launch.state !== "intended" && launch.by !== instance) return false;
    const limitMs = (providers.get(launch.provider)?.launchLimitMs ?? 0) + SAVING_MS;
    return clock.monotonic() - seenAtMs > limitMs;
  }
}
