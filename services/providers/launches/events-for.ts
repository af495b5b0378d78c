// What a look at a launch calls for: a pure decision over what was found now, what was found before, and the record.
import { agentIdentityOf, attemptRefOf } from "../../../libs/contracts/ids.ts";
import {
  isExternal,
  type LaunchRecord,
  PROVIDER_EPOCH,
  providerHostOf,
} from "../../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import type { Observation, Present } from "../drivers/driver.ts";

/** What earlier looks found; every time is on the monotonic clock of the process that looked, in ms. */
export interface Memory {
  /** When this process accepted the launch, or first saw it. */
  readonly sinceMs: number;
  readonly untakenSinceMs?: number;
  /** Its agent was in the room and isn't, or doesn't answer: since when, and in how many looks one after the other. */
  readonly missing?: { readonly sinceMs: number; readonly looks: number };
  readonly readySinceMs?: number;
  /** Whether any human was ever in the room, and since when none is. */
  readonly usersJoined: boolean;
  readonly noUsersSinceMs?: number;
  /** LiveKit hinted that the agent hung up by itself, or that its room was closed in order: in words, and when. */
  readonly leftInOrder?: { readonly reason: string; readonly atMs: number };
}

export interface Limits {
  /** How long nobody may take what was asked for. */
  readonly dispatchTimeoutMs: number;
  /** How long after its last user left a session ends. */
  readonly userLeftMs: number;
}

export interface Look {
  readonly launch: LaunchRecord;
  /** The session's record, which names this attempt. */
  readonly record: SessionRecord;
  readonly observation: Observation;
  readonly memory: Memory;
  readonly limits: Limits;
  readonly nowMs: number;
  /** ISO time, for people. */
  readonly at: string;
}

export interface Decision {
  /** The very same object when nothing of it changes. */
  readonly launch: LaunchRecord;
  readonly memory: Memory;
  /** What is to be said. It is read off the records and not off what changed: who looks again says it again. */
  readonly events: readonly SessionEvent[];
}

/** Two looks say that an agent is gone: between them a client that reconnects is back. */
const LOOKS_TO_BE_SURE = 2;
const GONE_MS = 400;
const SILENT_MS = 1500;

/** A hint that is as old and of which nothing has come was of somebody else, as of the room's former life. */
const HINT_MS = 5000;

export const firstMemory = (nowMs: number): Memory => ({ sinceMs: nowMs, usersJoined: false });

export function eventsFor(look: Look): Decision {
  const memory = remembered(look);
  const launch = followed(look);
  return { launch, memory, events: saidOf({ ...look, launch, memory }) };
}

const isPresent = (observation: Observation): observation is Present =>
  observation.is === "launched" || observation.is === "joined" || observation.is === "ready";

const isInRoom = (observation: Observation): boolean =>
  observation.is === "joined" || observation.is === "ready";

/** Once it was in the room, by either record. */
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

function remembered(look: Look): Memory {
  const { observation, record, nowMs } = look;
  const { untakenSinceMs, missing, readySinceMs, noUsersSinceMs, leftInOrder, ...kept } = look.memory;
  const isHintOld = leftInOrder !== undefined && nowMs - leftInOrder.atMs > HINT_MS && missing === undefined;
  const users = isPresent(observation) ? observation.users : undefined;
  const usersJoined = kept.usersJoined || (users ?? 0) > 0;
  return {
    ...kept,
    usersJoined,
    ...(leftInOrder === undefined || isHintOld ? {} : { leftInOrder }),
    ...(observation.is === "untaken" ? { untakenSinceMs: untakenSinceMs ?? nowMs } : {}),
    ...(isMissing(look)
      ? { missing: { sinceMs: missing?.sinceMs ?? nowMs, looks: (missing?.looks ?? 0) + 1 } }
      : {}),
    ...(record.state === "ready" ? { readySinceMs: readySinceMs ?? nowMs } : {}),
    // A look that couldn't tell who is there says nothing of users.
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

/** The launch with what was found of it; its state goes forward only. */
function followed({ launch, observation }: Look): LaunchRecord {
  if (observation.is === "absent" || observation.is === "untellable") return launch;
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

function saidOf(look: Look): SessionEvent[] {
  const { observation } = look;
  if (observation.is === "ended") return [isUnanswered(look) ? nobodyCame(look) : endedBy(look, observation)];
  const lost = lossOf(look);
  if (lost !== undefined) return [lost];
  if (observation.is === "untaken") return providerDeclined(look);
  if (isInRoom(observation)) return [...arrivals(look), ...ofUsers(look)];
  return [];
}

/** Nothing failed: its telephone was called, and nobody came to it. */
function isUnanswered({ observation }: Look): boolean {
  if (observation.is !== "ended" || observation.error !== undefined) return false;
  const { call } = observation;
  return call?.status === "busy" || call?.status === "noAnswer" || call?.status === "voicemail";
}

/** As of an agent of the pool whose user never came, in whichever state the session waits. */
function nobodyCame(look: Look): SessionEvent {
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
  if (missing.looks < LOOKS_TO_BE_SURE) return undefined;
  if (forMs < (isSilent(observation) ? SILENT_MS : GONE_MS)) return undefined;
  const { host: _, epoch: __, ...address } = byHost(look);
  return {
    ...address,
    type: "agent_lost",
    ...(record.state === "dispatched" ? { state: "dispatched" as const } : {}),
    reason: whyLost(launch, observation),
  };
}

function whyLost({ identity, room }: LaunchRecord, observation: Observation): string {
  const agent = identity === undefined ? "the agent" : `the agent ${identity}`;
  if (isSilent(observation)) return `${agent} is listed in room ${room} and answers nothing`;
  return observation.is === "absent" ? observation.reason : `${agent} is not in room ${room} any more`;
}

function providerDeclined(look: Look): SessionEvent[] {
  const { memory, nowMs, observation, launch, limits } = look;
  const forMs = nowMs - (memory.untakenSinceMs ?? nowMs);
  if (observation.is !== "untaken" || forMs < limits.dispatchTimeoutMs) return [];
  const reason = `${observation.reason} for ${(forMs / 1000).toFixed(1)} s`;
  return [{ ...byHost(look), type: "provider_declined", reason, pauseMs: pauseBefore(launch.attempt + 1) }];
}

/** The pause before what nobody took is asked for again. */
export const pauseBefore = (attempt: number): number =>
  Math.min(5000, 500 * 2 ** Math.min(10, Math.max(0, attempt - 2)));

function arrivals(look: Look): SessionEvent[] {
  const { launch, memory, nowMs, observation, record } = look;
  const place = {
    room: launch.room ?? record.room,
    identity: launch.identity ?? agentIdentityOf(launch),
    warm: "cold" as const,
    tookMs: Math.max(0, Math.round(nowMs - memory.sinceMs)),
  };
  const said: SessionEvent[] = [];
  if (record.state === "dispatched") said.push({ ...byHost(look), type: "joined", ...place });
  if (observation.is === "ready" && record.state !== "ready")
    said.push({ ...byHost(look), type: "ready", ...place });
  return said;
}

function ofUsers(look: Look): SessionEvent[] {
  const { limits, memory, nowMs, record } = look;
  if (record.state !== "ready" || memory.noUsersSinceMs === undefined) return [];
  if (memory.usersJoined) {
    return nowMs - memory.noUsersSinceMs < limits.userLeftMs ? [] : [{ ...byHost(look), type: "user_left" }];
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
      reason: `the user did not come within ${(waitedMs / 1000).toFixed(1)} s (limit ${limitMs} ms)`,
    },
  ];
}

/** Who speaks: the pseudo-host, or the host whose agent a call was made for. */
const byHost = ({ launch, record, at }: Look) => ({
  ...attemptRefOf(launch),
  at,
  host: isExternal(launch.provider) ? providerHostOf(launch.provider) : (record.host ?? ""),
  epoch: isExternal(launch.provider) ? PROVIDER_EPOCH : (record.hostEpoch ?? 0),
});

/** When to look next, in ms from now: fast while it starts, slowly afterwards, soon while something is amiss. */
export function nextLookInMs(
  { record, memory }: Pick<Look, "record" | "memory">,
  ageMs: number,
  observeMs: number,
): number {
  if (memory.missing !== undefined || memory.leftInOrder !== undefined) return 400;
  if (record.state !== "ready") return ageMs < 10_000 ? 150 : 500;
  return observeMs;
}
