// What a session becomes when something reaches it, and how one begins.
import { transition } from "xstate";
import { roomOf } from "../../contracts/ids.ts";
import { RINGING_MAX_MS } from "../../contracts/providers/provider.ts";
import type { Deadlines, Requested, SessionRecord } from "../../contracts/sessions/session.ts";
import { sessionMachine } from "./machine.ts";
import type { SessionInput } from "./transitions.ts";

export interface SessionDefaults {
  readonly deadlineMs: Deadlines;
  readonly maxAttempts: number;
}

/**
 * What a session becomes when an input reaches it.
 *
 * An input that the present state has no use for returns the very same object. That makes redelivery safe: a
 * second `joined` changes nothing, nor does a `ready` of an attempt that was given up, and `ended` absorbs.
 */
export function reduceSession(record: SessionRecord, input: SessionInput): SessionRecord {
  const { state, writeId, ...context } = record;
  const before = sessionMachine.resolveState({ value: state, context });
  const [after] = transition(sessionMachine, before, input);
  if (after.value === before.value && after.context === before.context) return record;
  return withoutAbsent({ ...after.context, state: after.value, writeId } as SessionRecord);
}

/** The machine can only set a field to undefined; a record on the wire has no such fields. */
const withoutAbsent = (record: SessionRecord): SessionRecord =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as SessionRecord;

/**
 * The record of a session that was just asked for.
 * @param place of its request in the stream
 */
export const newSession = (event: Requested, defaults: SessionDefaults, place?: number): SessionRecord => ({
  v: 1,
  sessionId: event.sessionId,
  tenant: event.tenant,
  profile: event.profile,
  ...(event.provider === undefined ? {} : { provider: event.provider }),
  ...(event.call === undefined ? {} : { call: event.call }),
  ...(place === undefined ? {} : { queueSeq: place }),
  state: "requested",
  attempt: 1,
  failures: 0,
  maxAttempts: defaults.maxAttempts,
  backoffMs: 0,
  avoid: [],
  room: event.room ?? roomOf(event.sessionId),
  roomIsNamed: event.room !== undefined,
  user: event.user,
  metadata: event.metadata,
  requestHash: event.requestHash,
  recovering: false,
  deadlineMs: {
    ...whileItRings(event, defaults.deadlineMs),
    ...(event.maxDurationMs === undefined ? {} : { maxDuration: event.maxDurationMs }),
  },
  history: [{ state: "requested", at: event.at, attempt: 1 }],
  timings: {},
  writeId: "",
});

/**
 * A telephone rings for longer than an agent takes to start or a user to come, and whoever makes the call ends the
 * ringing. VAPI's agent is there when somebody has answered; a call by SIP is made when the agent is there.
 */
function whileItRings({ provider }: Requested, limits: Deadlines): Deadlines {
  const atLeast = (ms: number): number => Math.max(ms, RINGING_MAX_MS);
  if (provider === "vapi")
    return { ...limits, dispatched: atLeast(limits.dispatched), joined: atLeast(limits.joined) };
  return provider === "sip" ? { ...limits, userAbsent: atLeast(limits.userAbsent) } : limits;
}

/** A hot agent brings its own room, so it can only serve a session that nobody is in yet. */
export const mayUseHot = (record: SessionRecord): boolean => !record.roomIsNamed && !record.recovering;
