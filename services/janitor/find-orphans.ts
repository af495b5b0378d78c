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

/**
 * The LiveKit server may have other users, so only rooms that Greenroom named can be orphans. Rooms of sessions that have
 * just ended are the exception: closing them may have failed, and one of LiveKit's own workers may join late.
 */
export function findOrphans(
  rooms: readonly string[],
  records: readonly SessionRecord[],
  hosts: readonly HostRecord[],
  justEnded: readonly SessionRecord[] = [],
): Orphans {
  const live = records.filter((record) => record.state !== "ended");
  const needed = new Set(live.map((record) => record.room));
  const slots = new Set(
    hosts.flatMap((host) => host.processes.flatMap(({ slots }) => slots.map(({ id }) => id))),
  );
  const left = new Set(justEnded.filter(hasRoom).map(({ room }) => room));
  const ownPrefix = roomOf("");
  const isOrphan = (room: string): boolean => {
    if (needed.has(room)) return false;
    if (room.startsWith(STANDBY_PREFIX)) return !slots.has(room.slice(STANDBY_PREFIX.length));
    return room.startsWith(ownPrefix) || left.has(room);
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
