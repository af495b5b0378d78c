// Decides whether one session record may follow another, and which event explains the change. Pure.
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

/** A stored session event with its sequence in the stream. */
export interface SequencedEvent {
  readonly sequence: number;
  readonly event: SessionEvent;
}

/** One input that turned a record into the next. */
export interface ReplayedStep {
  readonly from: SessionRecord | undefined;
  readonly by: SessionInput["type"] | "requested" | "nothing";
  readonly to: SessionRecord;
}

/** The states that may follow each state in the same attempt. */
const onward: Record<SessionState, readonly SessionState[]> = {
  requested: ["dispatched", "ended"],
  dispatched: ["joined", "ready", "ended"],
  joined: ["ready", "ended"],
  ready: ["ended"],
  ended: [],
};

/**
 * Returns the entries that a history has gained, or undefined if it doesn't continue the other one.
 * A history at its limit drops its oldest entries, so lengths can't be compared.
 */
export function gainedLines(before: SessionRecord, after: SessionRecord): HistoryEntry[] | undefined {
  const last = JSON.stringify(before.history.at(-1));
  const known = after.history.findLastIndex((line) => JSON.stringify(line) === last);
  return known < 0 ? undefined : after.history.slice(known + 1);
}

/** Returns the faults of a change as text, none when the change is legal. One write may contain several steps. */
export function illegalSteps(before: SessionRecord, after: SessionRecord): string[] {
  const faults: string[] = [];
  if (before.state === "ended") faults.push("changes after its end");
  const steps = gainedLines(before, after) ?? after.history;
  if (steps.length === 0) faults.push("changes without an entry in its history");
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
    faults.push(`is ${after.state}#${after.attempt}, which contradicts its history`);
  return faults;
}

/**
 * Explains how the machine turned one record into the next. A dispatcher applies one of the events and then makes up
 * to two decisions of its own. Returns undefined if no such sequence leads to the record.
 *
 * @param before undefined for a session's first record
 */
export function explain(
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SequencedEvent[],
  defaults: SessionDefaults,
): readonly ReplayedStep[] | undefined {
  const isIt = sameAs(after);
  for (const way of waysFrom(before, after, events, defaults)) if (isIt(way.at(-1)?.to)) return way;
  return undefined;
}

function* waysFrom(
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SequencedEvent[],
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

/** The records that may result when the handler has applied its message. */
function startsOf(
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SequencedEvent[],
  defaults: SessionDefaults,
): ReplayedStep[] {
  if (before === undefined) {
    return events.flatMap(({ event, sequence }) =>
      event.type === "requested"
        ? [{ from: before, by: event.type, to: newSession(event, defaults, sequence, after.receivedAt) }]
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
    ...inputs.flatMap((event) => {
      const step = { from: before, by: event.type, to: reduceSession(before, event) };
      return [step, ...excused(before, step.to, event.at)];
    }),
  ];
}

/** A failed start costs no attempt if the dispatcher has set its host aside. */
function excused(before: SessionRecord, failed: SessionRecord, at: string): ReplayedStep[] {
  const { host, attempt, failures } = before;
  if (host === undefined || isProviderHost(host) || failed.failures === failures) return [];
  const reason = failed.history.at(-1)?.reason ?? "";
  const input = { type: "host_failed" as const, attempt, host, reason, at };
  return [{ from: before, by: input.type, to: reduceSession(before, input) }];
}

/** The inputs that the dispatcher may have added itself, derived from the history that they produced. */
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
 * The decline of a provider, which is retried after a pause, because there is no other host. The reason identifies
 * such a decline, because an event of the providers service may lead to the same record.
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

/** Tests whether a record is the wanted one. Cheap comparisons come first, because most records differ. */
function sameAs(wanted: SessionRecord): (record: SessionRecord | undefined) => boolean {
  const text = canonical(wanted);
  return (record) =>
    record !== undefined &&
    record.state === wanted.state &&
    record.attempt === wanted.attempt &&
    record.history.length === wanted.history.length &&
    canonical(record) === text;
}

/** Returns the same text for equal records, ignoring `writeId`. */
export const canonical = (record: SessionRecord): string =>
  JSON.stringify(sessions.schema.parse({ ...record, writeId: "" }));
