// Decides which events an observation of a launch calls for, given earlier observations and the session. Pure.
import type { RoomEvent } from "../../../libs/contracts/fleet/pool.ts";
import { agentIdentityOf, attemptRefOf } from "../../../libs/contracts/ids.ts";
import {
  isExternal,
  type LaunchRecord,
  PROVIDER_EPOCH,
  providerHostOf,
} from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { LEFT } from "../../../libs/livekit/webhooks.ts";
import type { Observation, Present } from "../drivers/driver.ts";

/** The results of earlier observations. Times are on the observing process's monotonic clock, in ms. */
export interface Memory {
  /** When this process accepted the launch or took it over. */
  readonly sinceMs: number;
  readonly untakenSinceMs?: number;
  readonly takenSinceMs?: number;
  /** Set while an agent that has joined is missing or does not answer; `looks` counts the observations in a row. */
  readonly missing?: { readonly sinceMs: number; readonly looks: number };
  readonly readySinceMs?: number;
  /** Whether any human has joined, and since when there is none. */
  readonly usersJoined: boolean;
  readonly noUsersSinceMs?: number;
  /** LiveKit's hint that the agent hung up by itself, or that its room was closed in order. */
  readonly leftInOrder?: { readonly reason: string; readonly atMs: number };
  /** Whether an AgentSession was seen together with a user. It closes when its user hangs up. */
  readonly hasMetUser?: true;
  /** The participant who was the last to leave, by LiveKit's report, and whether by hanging up. */
  readonly leaver?: { readonly identity: string; readonly hungUp: boolean; readonly atMs: number };
}

export interface Limits {
  /** How long a request may remain untaken. */
  readonly dispatchTimeoutMs: number;
  /** The time from the last user's leave to the end of the session. */
  readonly userLeftMs: number;
}

export interface Look {
  readonly launch: LaunchRecord;
  /** The session's record, which names this attempt. */
  readonly record: SessionRecord;
  readonly observation: Observation;
  readonly memory: Memory;
  readonly limits: Limits;
  /** How long agents of this profile took to join lately; undefined if none has joined. */
  readonly usualJoinMs?: number | undefined;
  /** The most other sessions that awaited agents of this profile during this launch; a burst makes workers slow. */
  readonly othersJoining?: number;
  readonly nowMs: number;
  /** ISO time, for people. */
  readonly at: string;
}

export interface Decision {
  /** The same object when nothing changed. */
  readonly launch: LaunchRecord;
  readonly memory: Memory;
  /** Derived from the records and not from the change, so that the next observation repeats them. */
  readonly events: readonly SessionEvent[];
}

/** An agent that is missing in two observations is gone; a client that reconnects is back by then. */
const LOOKS_TO_CONFIRM = 2;
const GONE_MS = 400;
const UNRESPONSIVE_MS = 1500;

/** A worker whose agent has not joined by then may have lost it. Another one is asked. */
const TAKEN_MS = 2000;
/** An agent that takes this many times as long as usual is late. */
const LATE = 2;
/**
 * The least time for the agent of a repeated request: LiveKit's own workers warn of an entry that has not connected by
 * then. LiveKit's server tells nobody that a worker's job has failed. An entry that raises before it connects looks the same.
 */
const JOIN_MS = 10_000;
/** LiveKit may list a participant for a moment after it has reported that the participant left. */
const LISTED_STILL_MS = 1000;
/** LiveKit sometimes lists a job only after 5 s, so no request needs longer to be taken. */
const LISTED_MS = 7000;
export const LATE_REASON = "a worker took the job, and its agent did not join";

/** An older hint that had no effect concerned another participant, or an earlier room of this name. */
const HINT_MS = 5000;

export const firstMemory = (nowMs: number): Memory => ({ sinceMs: nowMs, usersJoined: false });

/** The memory after LiveKit has reported an event in the room of a launch. */
export function memoryAfterEvent(
  memory: Memory,
  launch: LaunchRecord,
  { event, identity, reason }: RoomEvent,
  nowMs: number,
): Memory {
  const byItself = event === "participant_left" && reason === "CLIENT_INITIATED";
  if (event === "room_finished")
    return { ...memory, leftInOrder: { reason: "its room was closed", atMs: nowMs } };
  if (identity === undefined || !LEFT.has(event)) return memory;
  if (identity !== launch.identity) return { ...memory, leaver: { identity, hungUp: byItself, atMs: nowMs } };
  if (!byItself) return memory;
  return { ...memory, leftInOrder: { reason: "the agent left the room by itself", atMs: nowMs } };
}

export function eventsFor(look: Look): Decision {
  const memory = memoryAfter(look);
  const launch = launchAfter(look);
  return { launch, memory, events: eventsOf({ ...look, launch, memory }) };
}

const isPresent = (observation: Observation): observation is Present =>
  observation.is === "launched" || observation.is === "joined" || observation.is === "ready";

const isInRoom = (observation: Observation): boolean =>
  observation.is === "joined" || observation.is === "ready";

/** Whether the agent has joined, by either record. */
const hasJoined = ({ launch, record }: Look): boolean =>
  record.state !== "dispatched" || launch.state === "joined" || launch.state === "ready";

const isSilent = (observation: Observation): boolean =>
  isPresent(observation) && observation.isSilent === true;

function isMissing(look: Look): boolean {
  const { observation } = look;
  if (observation.is === "absent") return true;
  if (isSilent(observation)) return true;
  return hasJoined(look) && (observation.is === "launched" || observation.is === "untaken");
}

/** A worker has the job, and its agent has not been in the room. */
const isTaken = (look: Look): boolean =>
  isPresent(look.observation) && look.observation.isTaken === true && !hasJoined(look);

function memoryAfter(look: Look): Memory {
  const { observation, record, nowMs } = look;
  const {
    untakenSinceMs,
    takenSinceMs,
    missing,
    readySinceMs,
    noUsersSinceMs,
    leftInOrder,
    leaver,
    ...kept
  } = look.memory;
  const isHintOld = leftInOrder !== undefined && nowMs - leftInOrder.atMs > HINT_MS && missing === undefined;
  const users = isPresent(observation) ? observation.users : undefined;
  // A user may come and leave between two observations.
  const usersJoined = kept.usersJoined || (users ?? 0) > 0 || leaver?.identity === record.user.id;
  const isBack = leaver !== undefined && (users ?? 0) > 0 && nowMs - leaver.atMs > LISTED_STILL_MS;
  const meetsUser = isPresent(observation) && observation.hasAgentSession === true && (users ?? 0) > 0;
  return {
    ...kept,
    usersJoined,
    ...(meetsUser ? { hasMetUser: true } : {}),
    ...(leaver === undefined || isBack ? {} : { leaver }),
    ...(leftInOrder === undefined || isHintOld ? {} : { leftInOrder }),
    ...(observation.is === "untaken" ? { untakenSinceMs: untakenSinceMs ?? nowMs } : {}),
    ...(isTaken(look) ? { takenSinceMs: takenSinceMs ?? nowMs } : {}),
    ...(isMissing(look)
      ? { missing: { sinceMs: missing?.sinceMs ?? nowMs, looks: (missing?.looks ?? 0) + 1 } }
      : {}),
    ...(record.state === "ready" ? { readySinceMs: readySinceMs ?? nowMs } : {}),
    // An observation without a list of participants proves nothing about users.
    ...(users === undefined
      ? noUsersSinceMs === undefined
        ? {}
        : { noUsersSinceMs }
      : users > 0
        ? {}
        : { noUsersSinceMs: noUsersSinceMs ?? nowMs }),
  };
}

const order = ["intended", "launched", "joined", "ready"] as const;
const rankOf = (state: LaunchRecord["state"]): number => order.indexOf(state as (typeof order)[number]);

/** The launch with the result of the observation. Its state only moves forward. */
function launchAfter({ launch, observation }: Look): LaunchRecord {
  if (observation.is === "absent" || observation.is === "untellable" || observation.is === "declined")
    return launch;
  const found = observation.is === "untaken" ? "launched" : observation.is;
  const state = found !== "ended" && rankOf(found) > rankOf(launch.state) ? found : launch.state;
  const { call } = observation;
  const externalId = "externalId" in observation ? observation.externalId : undefined;
  const identity = "identity" in observation ? observation.identity : undefined;
  const next = {
    ...launch,
    state,
    ...(externalId === undefined ? {} : { externalId }),
    ...(identity === undefined ? {} : { identity }),
    ...(call === undefined ? {} : { call }),
  };
  return JSON.stringify(next) === JSON.stringify(launch) ? launch : next;
}

function eventsOf(look: Look): SessionEvent[] {
  const { observation } = look;
  if (observation.is === "ended") return [isUnanswered(look) ? userAbsent(look) : endedBy(look, observation)];
  const lost = lossOf(look);
  if (lost !== undefined) return [lost];
  if (look.record.state === "dispatched") {
    const refusal = refusalOf(look);
    if (refusal !== undefined) return [refusal];
  }
  if (isInRoom(observation)) return [...arrivals(look), ...userEvents(look)];
  return [];
}

/** The phone was called and not answered: nothing failed. */
function isUnanswered({ observation }: Look): boolean {
  if (observation.is !== "ended" || observation.error !== undefined) return false;
  const { call } = observation;
  return call?.status === "busy" || call?.status === "noAnswer" || call?.status === "voicemail";
}

/** The same event as for a pool agent whose user never joined. */
function userAbsent(look: Look): SessionEvent {
  const { memory, nowMs, observation, record } = look;
  const { host: _, epoch: __, ...address } = byHost(look);
  return {
    ...address,
    type: "deadline_exceeded",
    state: record.state === "dispatched" || record.state === "joined" ? record.state : "ready",
    kind: "user_absent",
    waitedMs: Math.round(nowMs - memory.sinceMs),
    reason: observation.is === "ended" ? observation.reason : "",
  };
}

function endedBy(look: Look, ended: Extract<Observation, { is: "ended" }>): SessionEvent {
  return {
    ...byHost(look),
    type: "agent_ended",
    reason: ended.reason,
    ...(ended.error === undefined ? {} : { error: ended.error }),
    retryable: ended.retryable ?? true,
    ...(ended.cause === undefined ? {} : { cause: ended.cause }),
  };
}

function lossOf(look: Look): SessionEvent | undefined {
  const { memory, nowMs, observation, launch, record } = look;
  const { missing } = memory;
  if (missing === undefined) return undefined;
  if (memory.leftInOrder !== undefined && hasJoined(look) && !isSilent(observation))
    return { ...byHost(look), type: "agent_ended", reason: memory.leftInOrder.reason, retryable: false };
  const forMs = nowMs - missing.sinceMs;
  if (missing.looks < LOOKS_TO_CONFIRM) return undefined;
  if (forMs < (isSilent(observation) ? UNRESPONSIVE_MS : GONE_MS)) return undefined;
  const { host: _, epoch: __, ...address } = byHost(look);
  return {
    ...address,
    type: "agent_lost",
    ...(record.state === "dispatched" ? { state: "dispatched" as const } : {}),
    reason: lossReason(launch, observation),
  };
}

function lossReason({ identity, room }: LaunchRecord, observation: Observation): string {
  const agent = identity === undefined ? "the agent" : `the agent ${identity}`;
  if (isSilent(observation)) return `${agent} is listed in room ${room} and does not answer`;
  return observation.is === "absent" ? observation.reason : `${agent} is no longer in room ${room}`;
}

/** A refusal is final for this attempt. A request that nobody takes, or whose agent is late, is repeated. */
function refusalOf(look: Look): SessionEvent | undefined {
  const { memory, nowMs, observation, launch, limits, record, othersJoining = 0, usualJoinMs = 0 } = look;
  const declined = (reason: string, pauseMs: number): SessionEvent => ({
    ...byHost(look),
    type: "provider_declined",
    reason,
    pauseMs,
  });
  const pauseMs = pauseBefore(launch.attempt + 1);
  if (observation.is === "declined") return declined(observation.reason, pauseMs);
  if (observation.is === "untaken") {
    const forMs = nowMs - (memory.untakenSinceMs ?? nowMs);
    const limitMs = Math.max(limits.dispatchTimeoutMs, Math.min(LISTED_MS, LATE * usualJoinMs));
    if (forMs >= limitMs)
      return declined(`${observation.reason} for ${(forMs / 1000).toFixed(1)} s`, pauseMs);
  }
  if (memory.takenSinceMs === undefined) return undefined;
  const takenMs = nowMs - memory.takenSinceMs;
  const reason = `${LATE_REASON} for ${(takenMs / 1000).toFixed(1)} s`;
  if (!wasLateBefore(look))
    return takenMs < Math.max(TAKEN_MS, LATE * usualJoinMs) ? undefined : declined(reason, 0);
  const forOneMs = Math.max(JOIN_MS, record.deadlineMs.dispatched);
  if (takenMs < Math.max(forOneMs * (1 + othersJoining), 2 * LATE * usualJoinMs)) return undefined;
  const error = `${reason}; its entry may have failed before it connected, as the worker's log shows`;
  return endedBy(look, { is: "ended", reason, error, cause: "provider" });
}

/** A slow agent looks like a lost one. Another one is therefore asked at once, but only once. */
function wasLateBefore({ record: { history } }: Look): boolean {
  const since = history.findLastIndex(({ state }) => state === "ready") + 1;
  return history.slice(since).some(({ reason }) => reason?.startsWith(LATE_REASON));
}

/** The pause before an untaken request is repeated. */
export const pauseBefore = (attempt: number): number =>
  Math.min(5000, 500 * 2 ** Math.min(10, Math.max(0, attempt - 2)));

function arrivals(look: Look): SessionEvent[] {
  const { launch, memory, nowMs, observation, record } = look;
  const joined = {
    room: launch.room ?? record.room,
    identity: launch.identity ?? agentIdentityOf(launch),
    warm: "cold" as const,
    tookMs: Math.max(0, Math.round(nowMs - memory.sinceMs)),
  };
  const events: SessionEvent[] = [];
  if (record.state === "dispatched") events.push({ ...byHost(look), type: "joined", ...joined });
  if (observation.is === "ready" && record.state !== "ready")
    events.push({ ...byHost(look), type: "ready", ...joined });
  return events;
}

function userEvents(look: Look): SessionEvent[] {
  const { limits, memory, nowMs, record } = look;
  if (record.state !== "ready" || memory.noUsersSinceMs === undefined) return [];
  if (memory.usersJoined) {
    // The AgentSession of a user who has hung up is closed, so a user who returns would be heard by nobody.
    const { identity, hungUp = false, atMs = 0 } = memory.leaver ?? {};
    const isClosed = hungUp && identity === record.user.id && memory.hasMetUser === true;
    const goneMs = nowMs - Math.max(memory.noUsersSinceMs, atMs);
    return goneMs < (isClosed ? 0 : limits.userLeftMs) ? [] : [{ ...byHost(look), type: "user_left" }];
  }
  const limitMs = record.deadlineMs.userAbsent;
  const waitedMs = Math.round(nowMs - Math.max(memory.readySinceMs ?? nowMs, memory.noUsersSinceMs));
  if (waitedMs < limitMs) return [];
  const { host: _, epoch: __, ...address } = byHost(look);
  return [
    {
      ...address,
      type: "deadline_exceeded",
      state: "ready",
      kind: "user_absent",
      waitedMs,
      reason: `the user did not join within ${(waitedMs / 1000).toFixed(1)} s (limit ${limitMs} ms)`,
    },
  ];
}

/** The address of an event: the pseudo-host, or the host whose agent a call was made for. */
const byHost = ({ launch, record, at }: Look) => ({
  ...attemptRefOf(launch),
  at,
  host: isExternal(launch.provider) ? providerHostOf(launch.provider) : (record.host ?? ""),
  epoch: isExternal(launch.provider) ? PROVIDER_EPOCH : (record.hostEpoch ?? 0),
});

/** The pause before the next observation, in ms: short during the start and while something may be wrong. */
export function nextLookInMs(
  { record, memory }: Pick<Look, "record" | "memory">,
  ageMs: number,
  observeMs: number,
): number {
  if (memory.missing !== undefined || memory.leftInOrder !== undefined) return 400;
  if (record.state !== "ready") return ageMs < 10_000 ? 150 : 500;
  return observeMs;
}
