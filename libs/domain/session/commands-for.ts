// The commands that a session's record calls for.
import { agentIdentityOf, isReservedRoom } from "../../contracts/ids.ts";
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
  | { do: "delete_room"; room: string }
  | { do: "close_room"; room: string; identity?: string; isOwn: boolean; hasFailed?: true };

/**
 * The commands that a record calls for, in the order of their execution.
 *
 * The commands depend on the record and not on the transition that led to it. A redelivered message therefore repeats them, also
 * after a crash between the save and the commands (I3). Each command is harmless when repeated.
 */
export function commandsFor(record: SessionRecord): SessionCommand[] {
  switch (record.state) {
    case "requested":
      return commandsForLost(record);
    case "dispatched":
      return [...commandsForAssign(record), ...commandsForLost(record)];
    case "joined":
    case "ready":
      return record.previous?.keepUntilReplaced === true ? commandsForPrevious(record) : [];
    case "ended":
      return [...commandsForPrevious(record), ...commandsForEnd(record)];
  }
}

function commandsForAssign(record: SessionRecord): SessionCommand[] {
  const { host, hostEpoch, requestedWarmth } = record;
  if (host === undefined || hostEpoch === undefined || requestedWarmth === undefined) return [];
  const assign = {
    do: "assign" as const,
    host,
    epoch: hostEpoch,
    attempt: record.attempt,
    requestedWarmth,
    identity: agentIdentityOf(record),
  };
  if (requestedWarmth === "hot") return [assign];
  return [
    { do: "create_room", room: record.room },
    { ...assign, room: record.room },
  ];
}

/** A lost agent is removed before the next one joins; an agent that migrates stays until then. */
const commandsForLost = (record: SessionRecord): SessionCommand[] =>
  record.previous?.keepUntilReplaced === true ? [] : commandsForPrevious(record);

/** The previous agent is released, and also removed from the room, since it may be a zombie that receives nothing. */
function commandsForPrevious(record: SessionRecord): SessionCommand[] {
  const { previous } = record;
  if (previous === undefined) return [];
  const { host, attempt, room, identity } = previous;
  const reason = "the session goes on with another agent";
  const release: SessionCommand = { do: "release", host, attempt, reason };
  // An agent that still serves gets the release first, so that it can finish in order.
  if (previous.keepUntilReplaced === true) return [release, { do: "remove_participant", room, identity }];
  // A hot agent brings another room, so the room of the previous attempt is not used any more.
  const leavesRoom = record.state === "dispatched" && record.requestedWarmth === "hot";
  return room === record.room && !leavesRoom
    ? [{ do: "remove_participant", room, identity }, release]
    : [release, { do: "delete_room", room }];
}

/** The agent leaves before its room is deleted: LiveKit's native library never frees the audio of a room that closes. */
function commandsForEnd(record: SessionRecord): SessionCommand[] {
  const { attempt, deleteRoom, endedReason = "ended", fault, host, room, roomIsNamed } = record;
  const isOwn = !roomIsNamed || isReservedRoom(room);
  const hasFailed = fault !== undefined && fault !== "none" && fault !== "customer";
  const over: SessionCommand = deleteRoom
    ? { do: "delete_room", room }
    : { do: "close_room", room, isOwn, ...(hasFailed ? { hasFailed } : {}) };
  if (host === undefined) return [over];
  const release: SessionCommand = { do: "release", host, attempt, reason: endedReason, untilLeft: true };
  const identity = record.identity ?? agentIdentityOf(record);
  return [release, over.do === "close_room" ? { ...over, identity } : over];
}
