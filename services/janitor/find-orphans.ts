// Rooms without sessions and sessions without rooms: a pure comparison, made twice before anything is done.
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { attemptKey, roomOf, STANDBY_PREFIX } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

export interface Orphans {
  /** Rooms that nobody needs. */
  readonly rooms: string[];
  /** Sessions whose record says ready, and whose room is not there. */
  readonly sessions: SessionRecord[];
}

/**
 * Only rooms that are ours by their name or by a record are ever an orphan: a LiveKit server may serve others.
 */
export function findOrphans(
  rooms: readonly string[],
  records: readonly SessionRecord[],
  hosts: readonly HostRecord[],
): Orphans {
  const live = records.filter((record) => record.state !== "ended");
  const needed = new Set(live.map((record) => record.room));
  const slots = new Set(
    hosts.flatMap((host) => host.processes.flatMap((stage) => stage.slots.map((slot) => slot.id))),
  );
  const overByRecord = new Set(
    records.filter((record) => record.state === "ended").map((record) => record.room),
  );
  const ownPrefix = roomOf("");
  const isOrphan = (room: string): boolean => {
    if (needed.has(room)) return false;
    if (room.startsWith(STANDBY_PREFIX)) return !slots.has(room.slice(STANDBY_PREFIX.length));
    return room.startsWith(ownPrefix) || overByRecord.has(room);
  };
  const present = new Set(rooms);
  return {
    rooms: rooms.filter(isOrphan),
    sessions: live.filter(
      (record) => record.state === "ready" && hasRoom(record) && !present.has(record.room),
    ),
  };
}

/** VAPI makes its calls without any room of ours. */
const hasRoom = ({ provider }: SessionRecord): boolean => provider !== "vapi";

/** Keeps what was also found the time before: between two looks things settle that only crossed each other. */
export function confirmOrphans(before: Orphans | undefined, now: Orphans): Orphans {
  const rooms = new Set(before?.rooms);
  const sessions = new Set(before?.sessions.map(attemptKey));
  return {
    rooms: now.rooms.filter((room) => rooms.has(room)),
    sessions: now.sessions.filter((record) => sessions.has(attemptKey(record))),
  };
}
