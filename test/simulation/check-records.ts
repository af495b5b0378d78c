// The invariants of records: each key's whole history is replayed and explained by what was said.
import { sessions } from "../../libs/contracts/buckets.ts";
import { type Channel, sessionEvents } from "../../libs/contracts/channels.ts";
import { SessionEvent, type SessionRecord, type SessionState } from "../../libs/contracts/session.ts";
import type { SessionInput } from "../../libs/session/machine.ts";
import { newSession, step } from "../../libs/session/step.ts";
import { LIVEKIT_PAUSE_MS } from "../../services/dispatcher/speak.ts";
import type { World } from "./world.ts";

interface Written {
  readonly revision: number;
  readonly record: SessionRecord;
}

interface Said {
  readonly sequence: number;
  readonly event: SessionEvent;
}

/** From each state to those that may follow in the same attempt. */
const onward: Record<SessionState, readonly SessionState[]> = {
  requested: ["dispatched", "ended"],
  dispatched: ["joined", "ready", "ended"],
  joined: ["ready", "ended"],
  ready: ["ended"],
  ended: [],
};

export function checkRecords(world: World): void {
  const said = new Map<string, Said[]>();
  for (const each of storedEvents(world)) {
    const { sessionId } = each.event;
    said.set(sessionId, [...(said.get(sessionId) ?? []), each]);
  }
  for (const [key, revisions] of writtenByKey(world)) {
    const events = said.get(revisions[0]?.record.id ?? "") ?? [];
    let before: Written | undefined;
    for (const after of revisions) {
      checkChain(world, key, before, after);
      checkReady(world, after.record);
      if (before !== undefined) checkTransition(world, before.record, after.record);
      checkExplained(world, before?.record, after.record, events);
      before = after;
    }
    checkOneRequest(world, events);
  }
}

/** 4: the revisions of a key form a chain, and nobody believes in a write that isn't there. */
function checkChain(world: World, key: string, before: Written | undefined, after: Written): void {
  const saving = world.facts.savings.get(after.record.opId);
  if (saving === undefined) {
    world.trace.violation(4, `${key} has revision ${after.revision}, which nobody wrote`);
    return;
  }
  if (saving.from !== (before?.revision ?? 0)) {
    const what = `was made from ${saving.from} and follows ${before?.revision ?? 0}`;
    world.trace.violation(4, `${key}: revision ${after.revision} ${what}`);
  }
  if (saving.wasCalledLost)
    world.trace.violation(
      4,
      `${saving.who} was told that it lost, and revision ${after.revision} of ${key} is its`,
    );
  if (saving.revision !== undefined && saving.revision !== after.revision)
    world.trace.violation(4, `${saving.who} believes in revision ${saving.revision} of ${key}`);
}

/** 8: ready only after the entrypoint of that very attempt has said so. */
function checkReady(world: World, record: SessionRecord): void {
  if (record.state !== "ready" || world.facts.savings.get(record.opId)?.wasSaidReady) return;
  const name = `${world.trace.nameOf(record.id)}#${record.attempt}`;
  world.trace.violation(8, `${name} is ready, and its entry never said so`);
}

/** 3: legal steps only; `ended` absorbs; the attempt never falls. Several steps may be saved as one. */
function checkTransition(world: World, before: SessionRecord, after: SessionRecord): void {
  const name = world.trace.nameOf(after.id);
  if (before.state === "ended") world.trace.violation(3, `${name} changes after its end`);
  // Of a history that grew too long the oldest lines are forgotten, so its length says nothing.
  const last = JSON.stringify(before.history.at(-1));
  const known = after.history.findLastIndex((line) => JSON.stringify(line) === last);
  const steps = after.history.slice(known + 1);
  if (steps.length === 0) world.trace.violation(3, `${name} changes without a line in its history`);
  let { state, attempt } = before;
  for (const next of steps) {
    const isOnward = next.attempt === attempt && onward[state].includes(next.state);
    const isNextTry = next.attempt === attempt + 1 && next.state === "requested" && state !== "requested";
    if (!(isOnward || (isNextTry && state !== "ended"))) {
      const what = `${state}#${attempt} to ${next.state}#${next.attempt}`;
      world.trace.violation(3, `${name} goes from ${what}`);
    }
    state = next.state;
    attempt = next.attempt;
  }
  if (state !== after.state || attempt !== after.attempt)
    world.trace.violation(3, `${name} is ${after.state}#${after.attempt}, which its history doesn't say`);
}

/** 7: each change follows from something that was said, by the machine's own rules, and from nothing else. */
function checkExplained(
  world: World,
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly Said[],
): void {
  const isIt = sameAs(after);
  for (const way of waysFrom(world, before, after, events)) {
    if (!isIt(way.at(-1)?.to)) continue;
    for (const each of way) countStep(world, each);
    return;
  }
  const last = after.history.at(-1);
  const what = `${after.state}#${after.attempt} (${last?.why ?? last?.host ?? ""})`;
  world.trace.violation(7, `nothing that was said makes ${world.trace.nameOf(after.id)} ${what}`);
}

/** One input that led from a record to the next. */
interface Step {
  readonly from: SessionRecord | undefined;
  readonly by: SessionInput["type"] | "requested" | "nothing";
  readonly to: SessionRecord;
}

/** What a handler may have done: apply its message, and decide up to twice itself. */
function* waysFrom(
  world: World,
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly Said[],
): Generator<readonly Step[]> {
  for (const start of startsOf(world, before, after, events)) {
    yield [start];
    for (const input of dispatchersInputs(start.to, after)) {
      const next = { from: start.to, by: input.type, to: step(start.to, input) };
      if (next.to === start.to) continue;
      yield [start, next];
      for (const further of dispatchersInputs(next.to, after))
        yield [start, next, { from: next.to, by: further.type, to: step(next.to, further) }];
    }
  }
}

function countStep(world: World, { from, by, to }: Step): void {
  if (from !== undefined && from !== to) world.coverage.count(`move: ${from.state} ${by} ${to.state}`);
}

/** What the record may have been when the handler had applied its message. */
function startsOf(
  world: World,
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly Said[],
): Step[] {
  const { deadlineMs, maxAttempts } = world.scenario;
  if (before === undefined) {
    return events.flatMap(({ event, sequence }) =>
      event.type === "requested"
        ? [{ from: before, by: event.type, to: newSession(event, { deadlineMs, maxAttempts }, sequence) }]
        : [],
    );
  }
  const times = new Set(after.history.slice(-3).map(({ at }) => at));
  const inputs = events.flatMap(({ event }) =>
    event.type === "requested" || !times.has(event.at) ? [] : [event],
  );
  const asItWas: Step = { from: before, by: "nothing", to: before };
  return [asItWas, ...inputs.map((event) => ({ from: before, by: event.type, to: step(before, event) }))];
}

/** What the dispatcher may have decided or learnt itself, read back from the history that it led to. */
function dispatchersInputs(before: SessionRecord, after: SessionRecord): SessionInput[] {
  const { host, attempt } = before;
  return after.history.slice(-3).flatMap((line): SessionInput[] => {
    const { at, why = "" } = line;
    if (line.state === "dispatched" && after.hostEpoch !== undefined && after.asked !== undefined) {
      const chosen = { host: after.host ?? "", epoch: after.hostEpoch, asked: after.asked };
      return [{ type: "host_chosen", attempt: line.attempt, at, ...chosen }];
    }
    if (host === undefined || before.state !== "dispatched") return [];
    return [
      { type: "declined", attempt, host, why, at },
      { type: "declined", attempt, host, why, at, mayHaveStarted: true },
      { type: "declined", attempt, host, why, at, pauseMs: LIVEKIT_PAUSE_MS },
      { type: "assign_failed", attempt, host, why, worthRepeating: true, at },
    ];
  });
}

/** 10: one idempotency key, one session, and one stored request for it. */
function checkOneRequest(world: World, events: readonly Said[]): void {
  const requests = events.filter(({ event }) => event.type === "requested");
  if (requests.length === 1) return;
  const name = world.trace.nameOf(requests[0]?.event.sessionId ?? "a session");
  world.trace.violation(10, `${name} was asked for ${requests.length} times in the stream`);
}

function writtenByKey(world: World): Map<string, Written[]> {
  const byKey = new Map<string, Written[]>();
  for (const { key, revision, value } of world.server.written(sessions)) {
    if (value === undefined) continue;
    byKey.set(key, [...(byKey.get(key) ?? []), { revision, record: value }]);
  }
  return byKey;
}

/** What is of no known shape says nothing. */
const readable: Channel<SessionEvent | undefined> = {
  ...sessionEvents,
  schema: SessionEvent.optional().catch(undefined),
  subjectOf: () => "",
  idOf: () => undefined,
};

/** The places of what is stored and can't be read. */
export const unreadable = (world: World): number[] =>
  world.server.stored(readable).flatMap(({ message, sequence }) => (message === undefined ? [sequence] : []));

const storedEvents = (world: World): Said[] =>
  world.server
    .stored(readable)
    .flatMap(({ message, sequence }) => (message === undefined ? [] : [{ event: message, sequence }]));

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
const canonical = (record: SessionRecord): string =>
  JSON.stringify(sessions.schema.parse({ ...record, opId: "" }));
