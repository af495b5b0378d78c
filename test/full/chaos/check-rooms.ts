// Invariants of agents and rooms during the run: 5 one session a slot, 6 one agent a room, 9 no leftovers of sessions.
import type { HostRecord, SlotStatus } from "../../../libs/contracts/fleet/host.ts";
import { STANDBY_PREFIX, sessionKey } from "../../../libs/contracts/ids.ts";
import type { Evidence, RunMs, Violation } from "./evidence.ts";
import { hadTimeAtMs, unhinderedMs } from "./hindrance.ts";
import { endedAtMsOf, groupBy, type Life, nameOf, type Read, recordAt, secondsOf } from "./read-evidence.ts";

/** The longest unhindered time for which two agents of one session may share its room. */
const OVERLAP_MS = 3000;
/** The longest unhindered time for which anything may outlive its session. */
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

const hostOf = (host: HostRecord): string => `${host.hostId} with epoch ${host.epoch}`;

/**
 * 5: a slot serves one attempt, with one epoch of one host. 6: an attempt has one slot. A host may take a slot and free
 * it unused while it reads that the record names another host by now.
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
  const add = (invariant: number, what: string, seen: SlotSeen) =>
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
      add(5, `slot ${slot.id} of ${host.hostId} serves ${job} ${when}`, seen);
      continue;
    }
    if (hostOf(before.host) !== hostOf(host))
      add(5, `slot ${slot.id} belongs to ${hostOf(before.host)} and ${hostOf(host)}`, seen);
    const first = slotOf.get(job) ?? seen;
    slotOf.set(job, first);
    if (first.slot.id !== slot.id)
      add(
        6,
        `${job} runs in the slots ${first.slot.id} of ${first.host.hostId} and ${slot.id} of ${host.hostId}`,
        seen,
      );
  }
  return [...found.values()];
}

/** 6: an identity belongs to one attempt, and an attempt has one agent. */
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
      const agent = `${event.identity} on ${event.host} with epoch ${event.epoch}`;
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

/** Two live agents of one session in one room at one moment. */
interface Pair {
  readonly room: string;
  readonly sessionId: string;
  readonly agents: readonly [string, string];
  readonly jobs: readonly [string, string];
}

/**
 * 6: two attempts share a room for at most 3 s. The check sums up the time between observations of both, without the
 * time in which a fault kept the older agent from its release.
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
    const what = `${who} share ${pair.room} for ${secondsOf(ms)} without a hindrance, until ${secondsOf(atMs)}`;
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

/** The time by which the leftovers of a session or an attempt must be gone. */
function goneByMs(evidence: Evidence, overAtMs: RunMs | undefined): RunMs | undefined {
  if (overAtMs === undefined) return undefined;
  return hadTimeAtMs(evidence.faults, overAtMs, OUTLIVE_MS, evidence.remains.atMs);
}

/** 9: no room without people exists long after its sessions; several sessions may name the same room. */
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
      ({ atMs, rooms }) =>
        atMs > dueMs &&
        rooms.some(({ name, participants }) => name === room && participants.every(({ isAgent }) => isAgent)),
    );
    const id = uses.at(-1)?.life.id;
    if (seen === undefined || id === undefined) return [];
    const what = `the room ${room} exists at ${secondsOf(seen.atMs)}; ${id} was over at ${secondsOf(overAtMs)}`;
    return [{ invariant: 9, what, sessionId: id }];
  });
}

function roomsOf({ revisions }: Life): Set<string> {
  const rooms = revisions.flatMap(({ record }) => [record.room, record.previous?.room]);
  return new Set(rooms.flatMap((room) => (room === undefined ? [] : [room])));
}

/** 9: no slot serves a session long after its end, or an attempt long after the next agent has joined. */
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
    const over = `the attempt was over at ${secondsOf(overAtMs ?? 0)}`;
    const record = recordAt(life, atMs);
    const what = `slot ${slot.id} of ${host.hostId} is ${slot.state} with ${job} at ${secondsOf(atMs)}; ${over} (${record?.state ?? "removed"}#${record?.attempt ?? "?"})`;
    found.set(`${job} ${slot.id}`, { invariant: 9, what, sessionId: slot.sessionId });
  }
  return [...found.values()];
}

/** The end of an attempt. A migrated agent serves until the next one is in the room. */
const attemptOverAtMs = ({ revisions, removedAtMs }: Life, attempt: number): RunMs | undefined =>
  revisions.find(
    ({ record: { state, attempt: now } }) =>
      state === "ended" || (now > attempt && (state === "joined" || state === "ready")),
  )?.atMs ?? removedAtMs;

/** True for the standby room of one of these slots. */
export const isStandbyOf = (room: string, slots: ReadonlySet<string>): boolean =>
  room.startsWith(STANDBY_PREFIX) && slots.has(room.slice(STANDBY_PREFIX.length));
