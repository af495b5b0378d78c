// Answers the commands to launch an agent and to end one.
import type { Bus } from "../../../libs/bus/bus.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { isError, messageOf } from "../../../libs/contracts/errors.ts";
import type { Assign, AssignAnswer, Release, ReleaseAnswer } from "../../../libs/contracts/fleet/host.ts";
import { attemptKey, attemptRefOf, sessionKey } from "../../../libs/contracts/ids.ts";
import {
  type ExternalProvider,
  PROVIDER_EPOCH,
  providerHostOf,
} from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import type { LaunchManager } from "./launch-manager.ts";

/** A dispatcher that ends a session isn't kept waiting for longer; the launch is ended all the same. */
const ENDING_MS = 1000;

/**
 * Accepts as soon as the intent is saved: from then on it is launched, whoever dies. Asked again, also of another
 * instance, the answer is the same and nothing is launched twice.
 */
export async function handleAssign(
  { bus, log, keeper }: { bus: Bus; log: Log; keeper: Pick<LaunchManager, "begin"> },
  provider: ExternalProvider,
  assign: Assign,
): Promise<AssignAnswer> {
  const { sessionId, attempt } = assign;
  if (assign.epoch !== PROVIDER_EPOCH) return { verdict: "stale", reason: "a provider has one life only" };
  try {
    const record = (await bus.kv.get(sessions, sessionKey(assign)))?.value;
    if (record === undefined || !isNamed(record, provider, attempt))
      return { verdict: "stale", reason: "the record doesn't name this attempt" };
    const isNew = await keeper.begin({
      ...attemptRefOf(assign),
      provider,
      profile: record.profile,
      room: record.room,
    });
    if (isNew) log.info({ sessionId, attempt, provider, profile: record.profile }, "a launch is intended");
    return { verdict: "accepted" };
  } catch (error) {
    const isStore = (["storage_unavailable", "storage_full", "unreadable_record"] as const).some((code) =>
      isError(error, code),
    );
    if (!isStore) throw error;
    // Should the intent have been saved after all, its launch finds that the record has moved on.
    return { verdict: "declined", reason: `the launch could not be saved: ${messageOf(error)}` };
  }
}

export async function handleRelease(
  { clock, keeper }: { clock: Clock; keeper: Pick<LaunchManager, "end"> },
  release: Release,
): Promise<ReleaseAnswer> {
  const ending = keeper.end(attemptKey(release), release.reason);
  // Another instance that follows it reads in the record that it is over.
  const released = await Promise.race([ending, sleep(clock, ENDING_MS).then(() => true)]);
  return { released };
}

const isNamed = (record: SessionRecord, provider: ExternalProvider, attempt: number): boolean =>
  record.state !== "ended" && record.attempt === attempt && record.host === providerHostOf(provider);
