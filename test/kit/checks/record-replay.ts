// Whether a session's record may follow another one, and what that was said explains it. Pure: history in, words out.
import { sessions } from "../../../libs/contracts/buckets.ts";
import { isProviderHost } from "../../../libs/contracts/providers/provider.ts";
import type {
  HistoryEntry,
  SessionEvent,
  SessionRecord,
  SessionState,
} from "../../../libs/contracts/sessions/session.ts";
import { newSession, reduceSession, type SessionDefaults } from "../../../libs/domain/session/reduce.ts";
import type { SessionInput } from "../../../libs/domain/session/transitions.ts";
import { LIVEKIT_PAUSE_MS, pauseAfter } from "../../../services/dispatcher/execute-commands.ts";

/** A message of the stream of events, and its place there. */
export interface SaidAt {
  readonly sequence: number;
  readonly event: SessionEvent;
}

/** One input that led from a record to the next. */
export interface ReplayedStep {
  readonly from: SessionRecord | undefined;
  readonly by: SessionInput["type"] | "requested" | "nothing";
  readonly to: SessionRecord;
}

/** From each state to those that may follow in the same attempt. */
const onward: Record<SessionState, readonly SessionState[]> = {
  requested: ["dispatched", "ended"],
  dispatched: ["joined", "ready", "ended"],
  joined: ["ready", "ended"],
  ready: ["ended"],
  ended: [],
};

/**
 * The lines that a record's history has gained; undefined when it doesn't go on from the other's.
 * Of a history that grew too long the oldest lines are forgotten, so its length says nothing.
 */
export function gainedLines(before: SessionRecord, after: SessionRecord): HistoryEntry[] | undefined {
  const last = JSON.stringify(before.history.at(-1));
  const known = after.history.findLastIndex((line) => JSON.stringify(line) === last);
  return known < 0 ? undefined : after.history.slice(known + 1);
}

/** What is not allowed about a change, in words; empty when all is well. Several steps may be saved as one. */
export function illegalSteps(before: SessionRecord, after: SessionRecord): string[] {
  const faults: string[] = [];
  if (before.state === "ended") faults.push("changes after its end");
  const steps = gainedLines(before, after) ?? after.history;
  if (steps.length === 0) faults.push("changes without a line in its history");
  let { state, attempt } = before;
  for (const next of steps) {
    const isOnward = next.attempt === attempt && onward[state].includes(next.state);
    const isNextTry = next.attempt === attempt + 1 && next.state === "requested" && state !== "requested";
    if (!(isOnward || (isNextTry && state !== "ended")))
      faults.push(`goes from ${state}#${attempt} to ${next.state}#${next.attempt}`);
    state = next.state;
    attempt = next.attempt;
  }
  if (state !== after.state || attempt !== after.attempt)
    faults.push(`is ${after.state}#${after.attempt}, which its history doesn't say`);
  return faults;
}

/**
 * How a record came of the one before it by the machine's own rules: what a dispatcher may have done with one of
 * these messages, which is to apply it and to decide up to twice itself. Undefined: nothing of this explains it.
 *
 * @param before undefined for a session's first record
 */
export function explain(
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SaidAt[],
  defaults: SessionDefaults,
): readonly ReplayedStep[] | undefined {
  const isIt = sameAs(after);
  for (const way of waysFrom(before, after, events, defaults)) if (isIt(way.at(-1)?.to)) return way;
  return undefined;
}

function* waysFrom(
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SaidAt[],
  defaults: SessionDefaults,
): Generator<readonly ReplayedStep[]> {
  for (const start of startsOf(before, after, events, defaults)) {
    yield [start];
    for (const input of dispatchersInputs(start.to, after)) {
      const next = { from: start.to, by: input.type, to: reduceSession(start.to, input) };
      if (next.to === start.to) continue;
      yield [start, next];
      for (const further of dispatchersInputs(next.to, after))
        yield [start, next, { from: next.to, by: further.type, to: reduceSession(next.to, further) }];
    }
  }
}

/** What the record may have been when the handler had applied its message. */
function startsOf(
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SaidAt[],
  defaults: SessionDefaults,
): ReplayedStep[] {
  if (before === undefined) {
    return events.flatMap(({ event, sequence }) =>
      event.type === "requested"
        ? [{ from: before, by: event.type, to: newSession(event, defaults, sequence) }]
        : [],
    );
  }
  const times = new Set(after.history.slice(-3).map(({ at }) => at));
  const inputs = events.flatMap(({ event }) =>
    event.type === "requested" || !times.has(event.at) ? [] : [event],
  );
  const asItWas: ReplayedStep = { from: before, by: "nothing", to: before };
  return [
    asItWas,
    ...inputs.map((event) => ({ from: before, by: event.type, to: reduceSession(before, event) })),
  ];
}

/** What the dispatcher may have decided or learnt itself, read back from the history that it led to. */
function dispatchersInputs(before: SessionRecord, after: SessionRecord): SessionInput[] {
  const { host, attempt } = before;
  return after.history.slice(-3).flatMap((line): SessionInput[] => {
    const { at, reason = "" } = line;
    if (line.state === "dispatched" && after.hostEpoch !== undefined && after.requestedWarmth !== undefined) {
      const chosen = {
        host: after.host ?? "",
        epoch: after.hostEpoch,
        requestedWarmth: after.requestedWarmth,
      };
      return [{ type: "host_chosen", attempt: line.attempt, at, ...chosen }];
    }
    if (host === undefined || before.state !== "dispatched") return [];
    return [
      { type: "declined", attempt, host, reason, at },
      { type: "declined", attempt, host, reason, at, mayHaveStarted: true },
      { type: "declined", attempt, host, reason, at, pauseMs: LIVEKIT_PAUSE_MS },
      ...(isProviderHost(host) ? declinedByProviders(before, { attempt, host, reason, at }) : []),
      { type: "assign_failed", attempt, host, reason, retryable: true, at },
    ];
  });
}

/**
 * There is no other host for it, so these are asked again after a pause. By their words, since what the providers service says
 * may lead to the same.
 */
function declinedByProviders(
  { backoffMs }: SessionRecord,
  said: { attempt: number; host: string; reason: string; at: string },
): SessionInput[] {
  if (!said.reason.startsWith(said.host) && !said.reason.startsWith("no providers service is running"))
    return [];
  const declined = { ...said, type: "declined" as const, pauseMs: pauseAfter(backoffMs) };
  return [
    { ...declined, mayHaveStarted: false },
    { ...declined, mayHaveStarted: true },
  ];
}

/** Whether a record is the wanted one; most are not, which shows without their whole text. */
function sameAs(wanted: SessionRecord): (record: SessionRecord | undefined) => boolean {
  const text = canonical(wanted);
  return (record) =>
    record !== undefined &&
    record.state === wanted.state &&
    record.attempt === wanted.attempt &&
    record.history.length === wanted.history.length &&
    canonical(record) === text;
}

/** The same text for the same record, whoever made it; the mark of its write apart. */
export const canonical = (record: SessionRecord): string =>
  JSON.stringify(sessions.schema.parse({ ...record, writeId: "" }));
