// Of agents and rooms while the run goes on: 5 a slot for one session, 6 one agent in a room, 9 nothing outlives its session.
import type { HostRecord, SlotStatus } from "../../../libs/contracts/fleet/host.ts";
import { STANDBY_PREFIX, sessionKey } from "../../../libs/contracts/ids.ts";
import type { Evidence, RunMs, Violation } from "./evidence.ts";
import { hadTimeAtMs, unhinderedMs } from "./hindrance.ts";
import { endedAtMsOf, groupBy, type Life, nameOf, type Read, recordAt, secondsOf } from "./read-evidence.ts";

/** Two agents of one session may be in its room for so long, when nothing hinders the older one from leaving. */
const OVERLAP_MS = 3000;
/** From the end of a session to when nothing of it may be left, of time in which nothing hindered. */
const OUTLIVE_MS = 30_000;

export function checkRooms(read: Read): Violation[] {
  return [
    ...checkSlots(read),
    ...checkIdentities(read),
    ...checkOverlaps(read),
    ...checkRoomsEnd(read),
    ...checkSlotsEnd(read),
  ];
}

interface SlotSeen {
  readonly atMs: RunMs;
  readonly host: HostRecord;
  readonly slot: SlotStatus & { readonly sessionId: string };
  readonly job: string;
}

function* slotsIn({ hosts }: Evidence): Generator<SlotSeen> {
  for (const { atMs, host } of hosts) {
    for (const slot of host.processes.flatMap(({ slots }) => slots)) {
      const { sessionId, attempt } = slot;
      if (sessionId === undefined) continue;
      yield { atMs, host, slot: { ...slot, sessionId }, job: nameOf(sessionId, attempt) };
    }
  }
}

const lifeOf = (host: HostRecord): string => `${host.hostId} in its life ${host.epoch}`;

/**
 * 5: a slot is used once, in one life of one host; 6: and an attempt has one slot. One that was taken and given back,
 * since the record named another by then, served nobody: its host keeps it while it reads.
 */
function checkSlots({ evidence, lives }: Read): Violation[] {
  const joined = new Set(
    lives.flatMap(({ genuine }) =>
      genuine.flatMap(({ event }) =>
        event.type === "joined" || event.type === "ready" ? nameOf(event.sessionId, event.attempt) : [],
      ),
    ),
  );
  const found = new Map<string, Violation>();
  const jobOf = new Map<string, SlotSeen>();
  const slotOf = new Map<string, SlotSeen>();
  const tell = (invariant: number, what: string, seen: SlotSeen) =>
    found.set(`${invariant} ${seen.slot.id} ${seen.job}`, {
      invariant,
      what,
      sessionId: seen.slot.sessionId,
    });
  for (const seen of slotsIn(evidence)) {
    const { slot, host, job, atMs } = seen;
    const known = jobOf.get(slot.id) ?? seen;
    const before = joined.has(known.job) ? known : seen;
    jobOf.set(slot.id, before);
    if (before.job !== job) {
      const when = `at ${secondsOf(atMs)} and ${before.job} at ${secondsOf(before.atMs)}`;
      tell(5, `slot ${slot.id} of ${host.hostId} serves ${job} ${when}`, seen);
      continue;
    }
    if (lifeOf(before.host) !== lifeOf(host))
      tell(5, `slot ${slot.id} is of ${lifeOf(before.host)} and of ${lifeOf(host)}`, seen);
    const first = slotOf.get(job) ?? seen;
    slotOf.set(job, first);
    if (first.slot.id !== slot.id)
      tell(
        6,
        `${job} runs in the slots ${first.slot.id} of ${first.host.hostId} and ${slot.id} of ${host.hostId}`,
        seen,
      );
  }
  return [...found.values()];
}

/** 6: an identity is of one attempt, and an attempt has one agent. */
function checkIdentities({ lives, owners }: Read): Violation[] {
  const shared = [...owners].flatMap(([identity, jobs]): Violation[] => {
    if (jobs.size < 2) return [];
    const what = `${identity} is the agent of ${[...jobs].join(" and of ")}`;
    return [{ invariant: 6, what, sessionId: [...jobs][0]?.split("#")[0] ?? "" }];
  });
  const doubled = lives.flatMap(({ id, genuine }) => {
    const agents = new Map<number, Set<string>>();
    for (const { event } of genuine) {
      if (event.type !== "joined" && event.type !== "ready") continue;
      const agent = `${event.identity} on ${event.host} in its life ${event.epoch}`;
      agents.set(event.attempt, (agents.get(event.attempt) ?? new Set()).add(agent));
    }
    return [...agents].flatMap(([attempt, who]): Violation[] =>
      who.size < 2
        ? []
        : [
            {
              invariant: 6,
              what: `${nameOf(id, attempt)} has the agents ${[...who].join(" and ")}`,
              sessionId: id,
            },
          ],
    );
  });
  return [...shared, ...doubled];
}

/** Two living agents of one session at one look. */
interface Pair {
  readonly room: string;
  readonly sessionId: string;
  readonly agents: readonly [string, string];
  readonly jobs: readonly [string, string];
}

/**
 * 6: two attempts are in a room for 3 s at most. What counts is the time between two looks at which both were
 * there, less the time in which a fault kept the older one from being told.
 */
function checkOverlaps({ evidence, owners }: Read): Violation[] {
  const worst = new Map<string, { pair: Pair; ms: number; atMs: RunMs }>();
  let before = new Map<string, { pair: Pair; ms: number }>();
  let lastMs = 0;
  for (const { atMs, rooms } of evidence.rooms) {
    const now = new Map<string, { pair: Pair; ms: number }>();
    for (const room of rooms) {
      for (const pair of pairsIn(room, owners)) {
        const key = `${pair.room} ${[...pair.agents].sort().join(" ")}`;
        const known = before.get(key);
        const ms = known === undefined ? 0 : known.ms + unhinderedMs(evidence.faults, lastMs, atMs);
        now.set(key, { pair, ms });
        if (ms > Math.max(OVERLAP_MS, worst.get(key)?.ms ?? 0)) worst.set(key, { pair, ms, atMs });
      }
    }
    before = now;
    lastMs = atMs;
  }
  return [...worst.values()].map(({ pair, ms, atMs }) => {
    const who = pair.jobs.map((job, index) => `${job} (${pair.agents[index]})`).join(" and ");
    const what = `${who} are both alive in ${pair.room} for ${secondsOf(ms)} that nothing hindered, until ${secondsOf(atMs)}`;
    return { invariant: 6, what, sessionId: pair.sessionId };
  });
}

type Room = Evidence["rooms"][number]["rooms"][number];

function pairsIn({ name, participants }: Room, owners: Read["owners"]): Pair[] {
  const agents = participants.flatMap(({ identity, isAgent, answers }) => {
    const job = [...(owners.get(identity) ?? [])][0];
    return isAgent && answers !== false && job !== undefined ? [{ identity, job }] : [];
  });
  return agents.flatMap((one, index) =>
    agents.slice(index + 1).flatMap((other): Pair[] => {
      const sessionId = one.job.split("#")[0] ?? "";
      if (sessionId !== other.job.split("#")[0]) return [];
      return [{ room: name, sessionId, agents: [one.identity, other.identity], jobs: [one.job, other.job] }];
    }),
  );
}

/** When a session, or one of its attempts, had been over for so long without a hindrance. */
function goneByMs(evidence: Evidence, overAtMs: RunMs | undefined): RunMs | undefined {
  if (overAtMs === undefined) return undefined;
  return hadTimeAtMs(evidence.faults, overAtMs, OUTLIVE_MS, evidence.remains.atMs);
}

/** 9: rooms that are there long after their sessions; one that another session has by name is that one's. */
function checkRoomsEnd({ evidence, lives }: Read): Violation[] {
  const users = groupBy(
    lives.flatMap((life) => [...roomsOf(life)].map((room) => ({ room, life }))),
    ({ room }) => room,
  );
  return [...users].flatMap(([room, uses]): Violation[] => {
    const over = uses.map(({ life }) => endedAtMsOf(life));
    if (over.some((each) => each === undefined)) return [];
    const overAtMs = Math.max(...over.map((each) => each ?? 0));
    const dueMs = goneByMs(evidence, overAtMs);
    if (dueMs === undefined) return [];
    const seen = evidence.rooms.findLast(
      ({ atMs, rooms }) => atMs > dueMs && rooms.some(({ name }) => name === room),
    );
    const id = uses.at(-1)?.life.id;
    if (seen === undefined || id === undefined) return [];
    const what = `the room ${room} is there at ${secondsOf(seen.atMs)}; ${id} was over at ${secondsOf(overAtMs)}`;
    return [{ invariant: 9, what, sessionId: id }];
  });
}

function roomsOf({ revisions }: Life): Set<string> {
  const rooms = revisions.flatMap(({ record }) => [record.room, record.previous?.room]);
  return new Set(rooms.flatMap((room) => (room === undefined ? [] : [room])));
}

/** 9: slots that serve a session long after its end, or an attempt long after the next one's agent came. */
function checkSlotsEnd({ evidence, lives }: Read): Violation[] {
  const byKey = new Map(lives.map((life) => [life.key, life]));
  const dues = new Map<string, RunMs | undefined>();
  const found = new Map<string, Violation>();
  for (const { atMs, host, slot, job } of slotsIn(evidence)) {
    const life = byKey.get(sessionKey({ tenant: slot.tenant ?? "", sessionId: slot.sessionId }));
    if (life === undefined) continue;
    const overAtMs = attemptOverAtMs(life, slot.attempt ?? 0);
    if (!dues.has(job)) dues.set(job, goneByMs(evidence, overAtMs));
    const dueMs = dues.get(job);
    if (dueMs === undefined || atMs <= dueMs) continue;
    const over = `it was over at ${secondsOf(overAtMs ?? 0)}`;
    const record = recordAt(life, atMs);
    const what = `slot ${slot.id} of ${host.hostId} is ${slot.state} with ${job} at ${secondsOf(atMs)}; ${over} (${record?.state ?? "removed"}#${record?.attempt ?? "?"})`;
    found.set(`${job} ${slot.id}`, { invariant: 9, what, sessionId: slot.sessionId });
  }
  return [...found.values()];
}

/** One that is handed over serves on until the next agent is in the room. */
const attemptOverAtMs = ({ revisions, removedAtMs }: Life, attempt: number): RunMs | undefined =>
  revisions.find(
    ({ record: { state, attempt: now } }) =>
      state === "ended" || (now > attempt && (state === "joined" || state === "ready")),
  )?.atMs ?? removedAtMs;

/** Whether a room is one that a hot agent waits in. */
export const isStandbyOf = (room: string, slots: ReadonlySet<string>): boolean =>
  room.startsWith(STANDBY_PREFIX) && slots.has(room.slice(STANDBY_PREFIX.length));
