// Finds rooms without sessions, and sessions without rooms. Pure.
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { attemptKey, roomOf, STANDBY_PREFIX } from "../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

export interface Orphans {
  /** Rooms without a session or an agent. */
  readonly rooms: string[];
  /** Ready sessions whose room is missing. */
  readonly sessions: SessionRecord[];
}

/** Only rooms with Greenroom's names, or from a record, can be orphans: the LiveKit server may have other users. */
export function findOrphans(
  rooms: readonly string[],
  records: readonly SessionRecord[],
  hosts: readonly HostRecord[],
): Orphans {
  const live = records.filter((record) => record.state !== "ended");
  const needed = new Set(live.map((record) => record.room));
  const slots = new Set(
    hosts.flatMap((host) => host.processes.flatMap(({ slots }) => slots.map(({ id }) => id))),
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

/** VAPI's calls have no room. */
const hasRoom = ({ provider }: SessionRecord): boolean => provider !== "vapi";

/** The orphans of two looks in a row. A single look may catch a room or record in the middle of a change. */
export function confirmOrphans(before: Orphans | undefined, now: Orphans): Orphans {
  const rooms = new Set(before?.rooms);
  const sessions = new Set(before?.sessions.map(attemptKey));
  return {
    rooms: now.rooms.filter((room) => rooms.has(room)),
    sessions: now.sessions.filter((record) => sessions.has(attemptKey(record))),
  };
}
