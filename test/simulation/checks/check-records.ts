// The invariants of records: each key's whole history is replayed and explained by what was said.
import { sessions } from "../../../libs/contracts/buckets.ts";
import { SessionEvent, type SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { type Channel, sessionEventsWithoutOverflow } from "../../../libs/contracts/streams.ts";
import { explain, illegalSteps, type SequencedEvent } from "../../kit/checks/record-replay.ts";
import type { World } from "../world.ts";

interface Written {
  readonly revision: number;
  readonly record: SessionRecord;
}

export function checkRecords(world: World): void {
  const said = new Map<string, SequencedEvent[]>();
  for (const each of storedEvents(world)) {
    const { sessionId } = each.event;
    said.set(sessionId, [...(said.get(sessionId) ?? []), each]);
  }
  for (const [key, revisions] of writtenByKey(world)) {
    const events = said.get(revisions[0]?.record.sessionId ?? "") ?? [];
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
  const saving = world.facts.savings.get(after.record.writeId);
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
  if (record.state !== "ready" || world.facts.savings.get(record.writeId)?.wasSaidReady) return;
  const name = `${world.trace.nameOf(record.sessionId)}#${record.attempt}`;
  world.trace.violation(8, `${name} is ready, and its entry never said so`);
}

/** 3: legal steps only; `ended` absorbs; the attempt never falls. */
function checkTransition(world: World, before: SessionRecord, after: SessionRecord): void {
  const name = world.trace.nameOf(after.sessionId);
  for (const fault of illegalSteps(before, after)) world.trace.violation(3, `${name} ${fault}`);
}

/** 7: each change follows from something that was said, by the machine's own rules, and from nothing else. */
function checkExplained(
  world: World,
  before: SessionRecord | undefined,
  after: SessionRecord,
  events: readonly SequencedEvent[],
): void {
  const way = explain(before, after, events, world.scenario);
  for (const { from, by, to } of way ?? [])
    if (from !== undefined && from !== to) world.coverage.count(`move: ${from.state} ${by} ${to.state}`);
  if (way !== undefined) return;
  const last = after.history.at(-1);
  const what = `${after.state}#${after.attempt} (${last?.reason ?? last?.host ?? ""})`;
  world.trace.violation(7, `nothing that was said makes ${world.trace.nameOf(after.sessionId)} ${what}`);
}

/** 10: one idempotency key, one session, and one stored request for it. */
function checkOneRequest(world: World, events: readonly SequencedEvent[]): void {
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
  ...sessionEventsWithoutOverflow,
  schema: SessionEvent.optional().catch(undefined),
  subjectOf: () => "",
  idOf: () => undefined,
};

/** The places of what is stored and can't be read. */
export const unreadable = (world: World): number[] =>
  world.server.stored(readable).flatMap(({ message, sequence }) => (message === undefined ? [sequence] : []));

export const readableEvents = (world: World): SessionEvent[] => storedEvents(world).map(({ event }) => event);

const storedEvents = (world: World): SequencedEvent[] =>
  world.server
    .stored(readable)
    .flatMap(({ message, sequence }) => (message === undefined ? [] : [{ event: message, sequence }]));
