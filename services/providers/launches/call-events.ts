// Decides which events an observation of a phone call into a room calls for. The agent belongs to its host. Pure.
import type { SessionRef } from "../../../libs/contracts/ids.ts";
import type { CallProgress, LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { progressOf } from "../../../libs/domain/call/call-rank.ts";
import type { Decision, Look } from "./events-for.ts";

const RINGING_LOOK_MS = 500;

/** The pause before the next observation, in ms. After the answer, the agent's host sees a hang-up at once. */
export const nextCallLookInMs = ({ call }: LaunchRecord, observeMs: number): number =>
  call?.status === "answered" ? observeMs : RINGING_LOOK_MS;

export function callEventsFor(look: Look): Decision {
  const launch = launchAfter(look);
  return { launch, memory: look.memory, events: eventsOf({ ...look, launch }) };
}

function launchAfter({ launch, observation }: Look): LaunchRecord {
  if (observation.is === "absent" || observation.is === "untellable" || observation.is === "declined")
    return launch;
  const { call } = observation;
  const isProgress = call !== undefined && progressOf(call.status) > progressOf(launch.call?.status);
  const externalId = "externalId" in observation ? observation.externalId : undefined;
  const isReady = observation.is === "ready" && launch.state !== "over";
  if (!isProgress && (externalId === undefined || externalId === launch.externalId)) return launch;
  return {
    ...launch,
    ...(isReady ? { state: "ready" as const } : {}),
    ...(isProgress ? { call } : {}),
    ...(externalId === undefined ? {} : { externalId }),
  };
}

function eventsOf({ launch, record, observation, memory, nowMs, at }: Look): SessionEvent[] {
  if (observation.is !== "ended") return [];
  const { tenant, sessionId } = launch;
  const { reason } = observation;
  switch (launch.call?.status) {
    // The host reports it too, except during a failover.
    case "hungUp":
      return [{ type: "end_requested", tenant, sessionId, at, endedReason: "completed", reason }];
    case "busy":
    case "noAnswer":
    case "voicemail":
      return [userAbsent(launch, record, reason, nowMs - memory.sinceMs, at)];
    default:
      return [couldNotCall(launch, record, reason, false, at)];
  }
}

/** An unanswered call means a ready agent whose user never joined. */
function userAbsent(
  { tenant, sessionId }: LaunchRecord,
  record: SessionRecord,
  reason: string,
  waitedMs: number,
  at: string,
): SessionEvent {
  const about = { tenant, sessionId, at, reason };
  // During a failover no agent waits.
  if (record.state !== "ready") return { ...about, type: "end_requested", endedReason: "cancelled" };
  return {
    ...about,
    type: "deadline_exceeded",
    attempt: record.attempt,
    state: "ready",
    kind: "user_absent",
    waitedMs: Math.round(waitedMs),
  };
}

/**
 * The final progress of a call that was ended here.
 * @param reported the provider's answer to the end
 * @param mayHaveBegun whether the call may have been made although it was never saved
 */
export function callAtItsEnd(
  { call }: Pick<LaunchRecord, "call">,
  reported: CallProgress | undefined,
  mayHaveBegun: boolean,
): CallProgress | undefined {
  switch (call?.status) {
    case "answered":
      return {
        ...call,
        ...(reported?.status === "hungUp" && !reported.unanswered ? reported : {}),
        status: "hungUp",
      };
    case "dialing":
    case "ringing":
      return (
        reported ?? {
          status: "unknown",
          providerReason: "the dialing instance is dead, and the callee has left",
        }
      );
    case undefined:
      return reported ?? (mayHaveBegun ? { status: "unknown" } : undefined);
    default:
      return call;
  }
}

/** The event for a call that the provider could not make. The agent did not fail. */
export function couldNotCall(
  { tenant, sessionId }: SessionRef,
  { attempt, host, hostEpoch }: SessionRecord,
  reason: string,
  retryable: boolean,
  at: string,
): SessionEvent {
  const about = { tenant, sessionId, at, reason };
  if (host === undefined || hostEpoch === undefined)
    return { ...about, type: "end_requested", endedReason: "cancelled" };
  return {
    ...about,
    type: "agent_ended",
    attempt,
    host,
    epoch: hostEpoch,
    error: reason,
    retryable,
    cause: "provider",
  };
}
