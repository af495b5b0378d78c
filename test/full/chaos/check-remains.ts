// Of what is left when all is over: 9 nothing of any session, 12 true roll-ups, 13 nothing stuck, dead letters for nonsense only.
import { rollups as rollupsBucket } from "../../../libs/contracts/buckets.ts";
import type { Rollup } from "../../../libs/contracts/fleet/pool.ts";
import { roomOf, STANDBY_PREFIX } from "../../../libs/contracts/ids.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { buildRollups } from "../../../services/janitor/rollup.ts";
import { isStandbyOf } from "./check-rooms.ts";
import type { Evidence, Said, Violation } from "./evidence.ts";
import { groupBy, isUnreadable, type Life, nameOf, type Read } from "./read-evidence.ts";

export function checkRemains(read: Read): Violation[] {
  return [
    ...checkNothingLeft(read),
    ...checkRollUps(read),
    ...checkConsumers(read.evidence),
    ...checkDeadLetters(read.evidence),
  ];
}

/** 9: rooms, busy slots, processes and conversations that nobody needs. */
function checkNothingLeft({ evidence: { remains }, lives }: Read): Violation[] {
  const left = (what: string, sessionId?: string): Violation => ({
    invariant: 9,
    what: `${what} is left in the end`,
    ...(sessionId === undefined ? {} : { sessionId }),
  });
  const slots = remains.hosts.flatMap((host) =>
    host.processes.flatMap((stage) => stage.slots.map((slot) => ({ ...slot, host: host.hostId }))),
  );
  const ids = new Set(slots.map(({ id }) => id));
  const idOfRoom = new Map(
    lives.flatMap((life) => life.revisions.map(({ record }) => [record.room, life.id])),
  );
  const isOurs = (room: string) =>
    idOfRoom.has(room) || room.startsWith(STANDBY_PREFIX) || room.startsWith(roomOf(""));
  const live = new Set(lives.flatMap((life) => (isOver(life) ? [] : [life.key])));
  // What a session still uses that should have ended is not left over: that it goes on is told of by itself.
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
      .map((key) => left(`what was said in ${key}`, key.split(".")[1])),
  ];
}

const isOver = ({ revisions, removedAtMs }: Life): boolean =>
  removedAtMs !== undefined || revisions.at(-1)?.record.state === "ended";

/** 12: the roll-ups are what the ended records give, purged ones included, each counted once. */
function checkRollUps({ evidence: { remains }, lives }: Read): Violation[] {
  const ended = lives.flatMap((life) => {
    const last = life.revisions.at(-1)?.record;
    return last?.state === "ended" ? [last] : [];
  });
  const wanted = new Map(buildRollups(ended).map((each) => [rollupsBucket.keyOf(each), each]));
  const wrong = remains.rollups.flatMap((stands): Violation[] => {
    const key = rollupsBucket.keyOf(stands);
    const counted = wanted.get(key);
    wanted.delete(key);
    const [is, should] = [textOf(stands), counted === undefined ? "nothing" : textOf(counted)];
    return is === should
      ? []
      : [{ invariant: 12, what: `the roll-up ${key} says ${is}, and the records give ${should}` }];
  });
  const missing = [...wanted].map(([key, each]) => ({
    invariant: 12,
    what: `there is no roll-up ${key}, and the records give ${textOf(each)}`,
  }));
  return [...wrong, ...missing];
}

/** The same text for the same counts, in whichever order they were made. */
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

/** 13: every message was handled to its end. */
const checkConsumers = ({ remains }: Evidence): Violation[] =>
  remains.consumers.flatMap(({ stream, name, pending, ackPending }): Violation[] =>
    pending === 0 && ackPending === 0
      ? []
      : [
          {
            invariant: 13,
            what: `${name} of ${stream} has ${pending} messages not delivered and ${ackPending} not settled`,
          },
        ],
  );

/** 13: what nobody could read went to the dead letters, once each, and nothing else did. */
function checkDeadLetters({ said, remains }: Evidence): Violation[] {
  const found: Violation[] = [];
  const letters = groupBy(
    remains.deadLetters.filter(({ stream }) => stream === sessionEvents.stream),
    ({ sequence }) => String(sequence),
  );
  const bySequence = new Map(said.map((each) => [String(each.sequence), each]));
  for (const [sequence, copies] of letters) {
    const [letter] = copies;
    const message = bySequence.get(sequence);
    const which = `message ${sequence} on ${letter?.subject}`;
    if (copies.length > 1) found.push(stuck(`${which} is among the dead letters ${copies.length} times`));
    if (message === undefined) found.push(stuck(`${which} is a dead letter, and nobody said it`));
    else if (!isUnreadable(message))
      found.push(stuck(`${which} can be read and is a dead letter: ${letter?.reason}`));
  }
  for (const each of said) {
    if (!isUnreadable(each)) continue;
    if (!letters.has(String(each.sequence)))
      found.push(stuck(`${wordsFor(each)} can't be read and is not among the dead letters`));
    if (each.forgery === undefined)
      found.push(stuck(`${wordsFor(each)} can't be read, and the product said it`));
  }
  return found;
}

const stuck = (what: string): Violation => ({ invariant: 13, what });
const wordsFor = ({ sequence, subject }: Said): string => `message ${sequence} on ${subject}`;
