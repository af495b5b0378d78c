// The setting GREENROOM_INBOUND_ROOMS: rooms that get an agent when somebody joins.
import { isReservedRoom, ProfileName } from "../ids.ts";

interface InboundRoom {
  /** The beginning of the room's name. */
  readonly prefix: string;
  readonly profile: string;
}

export type InboundRooms = readonly InboundRoom[];

/** The setting's description in the documents. */
export const INBOUND_ROOMS_DESCRIPTION =
  "Rooms that get an agent when somebody joins, for example call-=support, help-=assistant. The form is prefix=profile; the prefix is the beginning of the room's name. For incoming calls through LiveKit SIP, use the prefix of the dispatch rule.";

/**
 * Parses GREENROOM_INBOUND_ROOMS. Ignores white space and empty entries.
 * @throws Error that names the invalid entry
 */
export function parseInboundRooms(text: string): InboundRooms {
  const rules: InboundRoom[] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const [, prefix = "", profile = ""] = /^(\S+?)\s*=\s*(\S+)$/.exec(part) ?? [];
    if (prefix === "") throw new Error(`"${part}" does not have the form prefix=profile`);
    if (isReservedRoom(prefix)) throw new Error(`"${prefix}" is reserved for Greenroom's own rooms`);
    const known = ProfileName.safeParse(profile);
    if (!known.success) throw new Error(`"${profile}": ${known.error.issues[0]?.message}`);
    if (rules.some((rule) => rule.prefix === prefix)) throw new Error(`"${prefix}" appears twice`);
    rules.push({ prefix, profile });
  }
  return rules;
}

/** The profile of a room, by the longest matching prefix. A short prefix does not match Greenroom's own rooms. */
export function inboundProfileOf(rules: InboundRooms, room: string): string | undefined {
  if (isReservedRoom(room)) return undefined;
  const matching = rules.filter(({ prefix }) => room.startsWith(prefix));
  return matching.sort((a, b) => b.prefix.length - a.prefix.length)[0]?.profile;
}
