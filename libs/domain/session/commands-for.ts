// What must be said or done because a record stands as it stands.
import { agentIdentityOf } from "../../contracts/ids.ts";
import type { SessionRecord, Warmth } from "../../contracts/sessions/session.ts";

export type SessionCommand =
  | { do: "create_room"; room: string }
  | {
      do: "assign";
      host: string;
      epoch: number;
      attempt: number;
      requestedWarmth: Warmth;
      room?: string;
      identity: string;
    }
  | { do: "release"; host: string; attempt: number; reason: string; untilLeft?: true }
  | { do: "remove_participant"; room: string; identity: string }
  | { do: "delete_room"; room: string };

/**
 * The commands that a record calls for, in the order in which they must be given.
 *
 * They are read off the record and not off the transition that led to it, so a message that is delivered
 * again repeats them, and a crash between save and speech heals itself. Each is harmless when repeated.
 */
export function commandsFor(record: SessionRecord): SessionCommand[] {
  switch (record.state) {
    case "requested":
      return commandsForLost(record);
    case "dispatched":
      return [...commandsForAssign(record), ...commandsForLost(record)];
    case "joined":
    case "ready":
      return record.previous?.keepUntilReplaced === true ? commandsForFormer(record) : [];
    case "ended":
      return [...commandsForFormer(record), ...commandsForEnd(record)];
  }
}

function commandsForAssign(record: SessionRecord): SessionCommand[] {
  const { host, hostEpoch, requestedWarmth: asked } = record;
  if (host === undefined || hostEpoch === undefined || asked === undefined) return [];
  const assign = {
    do: "assign" as const,
    host,
    epoch: hostEpoch,
    attempt: record.attempt,
    requestedWarmth: asked,
    identity: agentIdentityOf(record),
  };
  if (asked === "hot") return [assign];
  return [
    { do: "create_room", room: record.room },
    { ...assign, room: record.room },
  ];
}

/** One that was handed over stays until the next is in the room; one that was lost goes before. */
const commandsForLost = (record: SessionRecord): SessionCommand[] =>
  record.previous?.keepUntilReplaced === true ? [] : commandsForFormer(record);

/** A former agent is told to go and is also put out of the room: it may be a zombie that hears nothing. */
function commandsForFormer(record: SessionRecord): SessionCommand[] {
  const { previous: former } = record;
  if (former === undefined) return [];
  const release: SessionCommand = {
    do: "release",
    host: former.host,
    attempt: former.attempt,
    reason: "the session goes on with another agent",
  };
  // A hot agent brings another room, so nobody will use the one that was made for the former.
  const goesElsewhere = record.state === "dispatched" && record.requestedWarmth === "hot";
  // Told first, one that serves can end in order what it has in hand; it is out of the room at once all the same.
  if (former.keepUntilReplaced === true)
    return [release, { do: "remove_participant", room: former.room, identity: former.identity }];
  return former.room === record.room && !goesElsewhere
    ? [{ do: "remove_participant", room: former.room, identity: former.identity }, release]
    : [release, { do: "delete_room", room: former.room }];
}

/** LiveKit's native library never frees what an agent sounded in a room that was closed under it: it leaves first. */
function commandsForEnd(record: SessionRecord): SessionCommand[] {
  const reason = record.endedReason ?? "ended";
  const release: SessionCommand[] =
    record.host === undefined
      ? []
      : [{ do: "release", host: record.host, attempt: record.attempt, reason, untilLeft: true }];
  return [...release, { do: "delete_room", room: record.room }];
}
