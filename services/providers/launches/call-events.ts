// What a look at a telephone call into a room calls for: a pure decision. Its agent is the pool's, and its host's care.
import type { SessionRef } from "../../../libs/contracts/ids.ts";
import type { CallProgress, LaunchRecord } from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { progressOf } from "../../../libs/domain/call/call-rank.ts";
import type { Decision, Look } from "./events-for.ts";

const RINGING_LOOK_MS = 500;

/** When to look next, in ms from now. Once it is answered, the agent's own host sees the callee hang up at once. */
export const nextCallLookInMs = ({ call }: LaunchRecord, observeMs: number): number =>
  call?.status === "answered" ? observeMs : RINGING_LOOK_MS;

export function callEventsFor(look: Look): Decision {
  const launch = followed(look);
  return { launch, memory: look.memory, events: saidOf({ ...look, launch }) };
}

function followed({ launch, observation }: Look): LaunchRecord {
  if (observation.is === "absent" || observation.is === "untellable") return launch;
  const { call } = observation;
  const isNews = call !== undefined && progressOf(call.status) > progressOf(launch.call?.status);
  const externalId = "externalId" in observation ? observation.externalId : undefined;
  const isReady = observation.is === "ready" && launch.state !== "over";
  if (!isNews && (externalId === undefined || externalId === launch.externalId)) return launch;
  return {
    ...launch,
    ...(isReady ? { state: "ready" as const } : {}),
    ...(isNews ? { call } : {}),
    ...(externalId === undefined ? {} : { externalId }),
  };
}

function saidOf({ launch, record, observation, memory, nowMs, at }: Look): SessionEvent[] {
  if (observation.is !== "ended") return [];
  const { tenant, sessionId } = launch;
  const { reason } = observation;
  switch (launch.call?.status) {
    // Its host sees it too, unless the agent is handed over at this moment.
    case "hungUp":
      return [{ type: "end_requested", tenant, sessionId, at, endedReason: "completed", reason }];
    case "busy":
    case "noAnswer":
    case "voicemail":
      return [nobodyCame(launch, record, reason, nowMs - memory.sinceMs, at)];
    default:
      return [couldNotCall(launch, record, reason, false, at)];
  }
}

/** The agent was ready and its user never came: that is what a call is to which nobody answered. */
function nobodyCame(
  { tenant, sessionId }: LaunchRecord,
  record: SessionRecord,
  reason: string,
  waitedMs: number,
  at: string,
): SessionEvent {
  const about = { tenant, sessionId, at, reason };
  // Between two agents there is none that waits.
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
 * How a call stands in the end that was ended from here.
 * @param told the provider's word on that @param mayHaveBegun whether it may have been made without its being saved
 */
export function callAtItsEnd(
  { call }: Pick<LaunchRecord, "call">,
  told: CallProgress | undefined,
  mayHaveBegun: boolean,
): CallProgress | undefined {
  switch (call?.status) {
    case "answered":
      return { ...call, ...(told?.status === "hungUp" && !told.unanswered ? told : {}), status: "hungUp" };
    case "dialing":
    case "ringing":
      return told ?? { status: "unknown", providerReason: "who dialled is gone, and so is the callee" };
    case undefined:
      return told ?? (mayHaveBegun ? { status: "unknown" } : undefined);
    default:
      return call;
  }
}

/** Not the agent failed, but who was to make the call. */
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
