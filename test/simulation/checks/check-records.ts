// Invariants of records: each key's history is replayed, and every change must follow from a published event.
import { sessions } from "../../../libs/contracts/buckets.ts";
import { isProviderHost } from "../../../libs/contracts/providers/provider.ts";
import { SessionEvent, type SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { type Channel, sessionEventsWithoutOverflow } from "../../../libs/contracts/streams.ts";
import { explain, illegalSteps, type SequencedEvent } from "../../kit/checks/record-replay.ts";
import { versionOn } from "../services.ts";
import type { World } from "../world.ts";

interface Written {
  readonly revision: number;
  readonly record: SessionRecord;
}

export function checkRecords(world: World): void {
  const eventsById = new Map<string, SequencedEvent[]>();
  for (const each of storedEvents(world)) {
    const { sessionId } = each.event;
    eventsById.set(sessionId, [...(eventsById.get(sessionId) ?? []), each]);
  }
  for (const [key, revisions] of writtenByKey(world)) {
    const events = eventsById.get(revisions[0]?.record.sessionId ?? "") ?? [];
    let before: Written | undefined;
    for (const after of revisions) {
      checkChain(world, key, before, after);
      checkReady(world, after.record);
      checkVersion(world, after.record);
      if (before !== undefined) checkTransition(world, before.record, after.record);
      checkExplained(world, before?.record, after.record, events);
      before = after;
    }
    checkOneRequest(world, events);
  }
}

/** 4: the revisions of a key form a chain, and no writer relies on a write that was not stored. */
function checkChain(world: World, key: string, before: Written | undefined, after: Written): void {
  const write = world.facts.writes.get(after.record.writeId);
  if (write === undefined) {
    world.trace.violation(4, `${key} has revision ${after.revision}, which no process wrote`);
    return;
  }
  if (write.from !== (before?.revision ?? 0)) {
    const what = `replaces revision ${write.from} and follows ${before?.revision ?? 0}`;
    world.trace.violation(4, `${key}: revision ${after.revision} ${what}`);
  }
  if (write.wasReportedLost)
    world.trace.violation(
      4,
      `${write.who} was answered that its write lost, but it is revision ${after.revision} of ${key}`,
    );
  if (write.revision !== undefined && write.revision !== after.revision)
    world.trace.violation(
      4,
      `${write.who} takes its write for revision ${write.revision} of ${key}, but it is ${after.revision}`,
    );
}

/** 8: a record is ready only after the entrypoint of the same attempt has reported ready. */
function checkReady(world: World, record: SessionRecord): void {
  if (record.state !== "ready" || world.facts.writes.get(record.writeId)?.wasReportedReady) return;
  const name = `${world.trace.nameOf(record.sessionId)}#${record.attempt}`;
  world.trace.violation(8, `${name} is ready, but its entry never reported ready`);
}

/** 8: a record has the version of the agent that serves, which is that of its host. */
function checkVersion(world: World, { sessionId, history, host, state, version }: SessionRecord): void {
  const entries = history.filter((entry) => entry.state === "joined" || entry.state === "ready");
  const serving = state === "joined" || state === "ready" ? [{ host, version }] : [];
  for (const each of [...entries, ...serving]) {
    const expected = each.host === undefined || isProviderHost(each.host) ? undefined : versionOn(each.host);
    if (each.version !== expected)
      world.trace.violation(
        8,
        `${world.trace.nameOf(sessionId)} has version ${each.version} on ${each.host}, not ${expected}`,
      );
  }
}

/** 3: only legal transitions; `ended` is final, and the attempt never decreases. */
function checkTransition(world: World, before: SessionRecord, after: SessionRecord): void {
  const name = world.trace.nameOf(after.sessionId);
  for (const fault of illegalSteps(before, after)) world.trace.violation(3, `${name} ${fault}`);
}

/** 7: each change follows from a published event by the machine's own rules, and from nothing else. */
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
  world.trace.violation(7, `no event explains why ${world.trace.nameOf(after.sessionId)} is ${what}`);
}

/** 10: one session and one stored request for each idempotency key. */
function checkOneRequest(world: World, events: readonly SequencedEvent[]): void {
  const requests = events.filter(({ event }) => event.type === "requested");
  if (requests.length === 1) return;
  const name = world.trace.nameOf(requests[0]?.event.sessionId ?? "a session");
  world.trace.violation(10, `the stream contains ${requests.length} requests for ${name}`);
}

function writtenByKey(world: World): Map<string, Written[]> {
  const byKey = new Map<string, Written[]>();
  for (const { key, revision, value } of world.server.written(sessions)) {
    if (value === undefined) continue;
    byKey.set(key, [...(byKey.get(key) ?? []), { revision, record: value }]);
  }
  return byKey;
}

/** Reads messages that don't match the schema as undefined. */
const readable: Channel<SessionEvent | undefined> = {
  ...sessionEventsWithoutOverflow,
  schema: SessionEvent.optional().catch(undefined),
  subjectOf: () => "",
  idOf: () => undefined,
};

/** The sequences of the stored messages that don't match the schema. */
export const unreadable = (world: World): number[] =>
  world.server.stored(readable).flatMap(({ message, sequence }) => (message === undefined ? [sequence] : []));

export const readableEvents = (world: World): SessionEvent[] => storedEvents(world).map(({ event }) => event);

const storedEvents = (world: World): SequencedEvent[] =>
  world.server
    .stored(readable)
    .flatMap(({ message, sequence }) => (message === undefined ? [] : [{ event: message, sequence }]));
