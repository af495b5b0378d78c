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

/** A dispatcher waits no longer than this for a release; the launch is ended all the same. */
const RELEASE_TIMEOUT_MS = 1000;

/**
 * Accepts once the intent is saved: from then on the agent is launched even if this instance dies. A repeated
 * command, also to another instance, gets the same answer and launches nothing (I9).
 */
export async function handleAssign(
  { bus, log, manager }: { bus: Bus; log: Log; manager: Pick<LaunchManager, "begin"> },
  provider: ExternalProvider,
  assign: Assign,
): Promise<AssignAnswer> {
  const { sessionId, attempt } = assign;
  if (assign.epoch !== PROVIDER_EPOCH) return { verdict: "stale", reason: "A provider has one epoch only." };
  try {
    const record = (await bus.kv.get(sessions, sessionKey(assign)))?.value;
    if (record === undefined || !isNamed(record, provider, attempt))
      return { verdict: "stale", reason: "The record does not name this attempt." };
    const isNew = await manager.begin({
      ...attemptRefOf(assign),
      provider,
      profile: record.profile,
      room: record.room,
    });
    if (isNew)
      log.info({ sessionId, attempt, provider, profile: record.profile }, "saved the intent of a launch");
    return { verdict: "accepted" };
  } catch (error) {
    const isStore = (["storage_unavailable", "storage_full", "unreadable_record"] as const).some((code) =>
      isError(error, code),
    );
    if (!isStore) throw error;
    // If the intent was saved although the answer was lost, its launch finds that the session has moved on.
    return { verdict: "declined", reason: `The launch could not be saved: ${messageOf(error)}` };
  }
}

export async function handleRelease(
  { clock, manager }: { clock: Clock; manager: Pick<LaunchManager, "end"> },
  release: Release,
): Promise<ReleaseAnswer> {
  const ending = manager.end(attemptKey(release), release.reason);
  // An instance that owns the launch learns the end from the session's record.
  const released = await Promise.race([ending, sleep(clock, RELEASE_TIMEOUT_MS).then(() => true)]);
  return { released };
}

const isNamed = (record: SessionRecord, provider: ExternalProvider, attempt: number): boolean =>
  record.state !== "ended" && record.attempt === attempt && record.host === providerHostOf(provider);
