// Invariants at the end: 9 no leftovers, 12 correct rollups, 13 no stuck message, and dead letters for nonsense only.
import { rollups as rollupsBucket } from "../../../libs/contracts/buckets.ts";
import type { Rollup } from "../../../libs/contracts/fleet/pool.ts";
import { roomOf, STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { buildRollups } from "../../../services/janitor/rollup.ts";
import { isStandbyOf } from "./check-rooms.ts";
import type { Evidence, StoredEvent, Violation } from "./evidence.ts";
import { groupBy, isUnreadable, type Life, nameOf, type Read } from "./read-evidence.ts";

export function checkRemains(read: Read): Violation[] {
  return [
    ...checkNothingLeft(read),
    ...checkRollups(read),
    ...checkConsumers(read.evidence),
    ...checkDeadLetters(read.evidence),
  ];
}

/** 9: no room, busy slot, process or conversation is left over. */
function checkNothingLeft({ evidence: { remains }, lives }: Read): Violation[] {
  const left = (what: string, sessionId?: string): Violation => ({
    invariant: 9,
    what: `${what} is left at the end`,
    ...(sessionId === undefined ? {} : { sessionId }),
  });
  const slots = remains.hosts.flatMap((host) =>
    host.processes.flatMap((one) => one.slots.map((slot) => ({ ...slot, host: host.hostId }))),
  );
  const ids = new Set(slots.map(({ id }) => id));
  const idOfRoom = new Map(
    lives.flatMap((life) => life.revisions.map(({ record }) => [record.room, life.id])),
  );
  const isOurs = (room: string) =>
    idOfRoom.has(room) || room.startsWith(STANDBY_PREFIX) || room.startsWith(roomOf(""));
  const live = new Set(lives.flatMap((life) => (isOver(life) ? [] : [life.key])));
  // Resources of a session that should have ended are not leftovers; another check reports the session.
  const needed = new Set(
    lives.flatMap((life) => (live.has(life.key) ? life.revisions.map(({ record }) => record.room) : [])),
  );
  return [
    ...remains.rooms
      .filter((room) => isOurs(room) && !isStandbyOf(room, ids) && !needed.has(room))
      .map((room) => left(`the room ${room}`, idOfRoom.get(room))),
    ...slots.flatMap(({ id, host, sessionId, attempt, tenant }) =>
      sessionId === undefined || live.has(`${tenant}.${sessionId}`)
        ? []
        : [left(`slot ${id} of ${host}, serving ${nameOf(sessionId, attempt)},`, sessionId)],
    ),
    ...remains.strayProcesses.map((stray) => left(`the process ${stray}`)),
    ...remains.conversations
      .filter((key) => !live.has(key))
      .map((key) => left(`the conversation of ${key}`, key.split(".")[1])),
  ];
}

const isOver = ({ revisions, removedAtMs }: Life): boolean =>
  removedAtMs !== undefined || revisions.at(-1)?.record.state === "ended";

/** 12: the rollups count every ended record once, including deleted ones. */
function checkRollups({ evidence: { remains }, lives }: Read): Violation[] {
  const ended = lives.flatMap((life) => {
    const last = life.revisions.at(-1)?.record;
    return last?.state === "ended" ? [last] : [];
  });
  const wanted = new Map(buildRollups(ended).map((each) => [rollupsBucket.keyOf(each), each]));
  const wrong = remains.rollups.flatMap((rollup): Violation[] => {
    const key = rollupsBucket.keyOf(rollup);
    const counted = wanted.get(key);
    wanted.delete(key);
    const [is, should] = [textOf(rollup), counted === undefined ? "nothing" : textOf(counted)];
    return is === should
      ? []
      : [{ invariant: 12, what: `the rollup ${key} is ${is}, but the records give ${should}` }];
  });
  const missing = [...wanted].map(([key, each]) => ({
    invariant: 12,
    what: `there is no rollup ${key}, but the records give ${textOf(each)}`,
  }));
  return [...wrong, ...missing];
}

/** Returns the same text for equal counts, in any order. */
const textOf = ({ sessions, attempts, byReason, byWarmth, startMs }: Rollup): string =>
  JSON.stringify({
    sessions,
    attempts,
    byReason: sorted(byReason),
    byWarmth: sorted(byWarmth),
    ...(startMs === undefined ? {} : { startMs: [startMs.p50, startMs.p95, startMs.max] }),
  });

const sorted = (counts: Record<string, number>) =>
  Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a.localeCompare(b)));

/** 13: every message is delivered and acknowledged. */
const checkConsumers = ({ remains }: Evidence): Violation[] =>
  remains.consumers.flatMap(({ stream, name, pending, ackPending }): Violation[] =>
    pending === 0 && ackPending === 0
      ? []
      : [
          {
            invariant: 13,
            what: `${name} of ${stream} has ${pending} undelivered and ${ackPending} unacknowledged messages`,
          },
        ],
  );

/** 13: every unreadable message is a dead letter once, and no other message is. */
function checkDeadLetters({ events, remains }: Evidence): Violation[] {
  const found: Violation[] = [];
  const letters = groupBy(
    remains.deadLetters.filter(({ stream }) => stream === sessionEvents.stream),
    ({ sequence }) => String(sequence),
  );
  const bySequence = new Map(events.map((each) => [String(each.sequence), each]));
  for (const [sequence, copies] of letters) {
    const [letter] = copies;
    const message = bySequence.get(sequence);
    const which = `message ${sequence} on ${letter?.subject}`;
    if (copies.length > 1) found.push(stuck(`${which} is among the dead letters ${copies.length} times`));
    if (message === undefined) found.push(stuck(`${which} is a dead letter, but was never published`));
    else if (!isUnreadable(message))
      found.push(stuck(`${which} is readable, but a dead letter: ${letter?.reason}`));
  }
  for (const each of events) {
    if (!isUnreadable(each)) continue;
    if (!letters.has(String(each.sequence)))
      found.push(stuck(`${wordsFor(each)} is unreadable, but no dead letter`));
    if (each.forgery === undefined)
      found.push(stuck(`${wordsFor(each)} is unreadable, but Greenroom published it`));
  }
  return found;
}

const stuck = (what: string): Violation => ({ invariant: 13, what });
const wordsFor = ({ sequence, subject }: StoredEvent): string => `message ${sequence} on ${subject}`;
