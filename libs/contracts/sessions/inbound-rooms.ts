// Which rooms are given an agent when somebody comes into them: the setting GREENROOM_INBOUND_ROOMS, read and looked up.

import { ProfileName } from "../ids.ts";
import { isReservedRoom } from "./http.ts";

interface InboundRoom {
  /** What the room's name begins with. */
  readonly prefix: string;
  readonly profile: string;
}

export type InboundRooms = readonly InboundRoom[];

/** What the setting says of itself in the documents. */
export const INBOUND_ROOMS_DESCRIPTION =
  "Rooms that get an agent when somebody joins, for example call-=support, help-=assistant. The form is prefix=profile; the prefix is the beginning of the room's name. For incoming calls through LiveKit SIP, use the prefix of the dispatch rule.";

/**
 * Reads GREENROOM_INBOUND_ROOMS. White space and an empty text are fine.
 * @throws Error in words, when it can't be read
 */
export function parseInboundRooms(text: string): InboundRooms {
  const rules: InboundRoom[] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const [, prefix = "", profile = ""] = /^(\S+?)\s*=\s*(\S+)$/.exec(part) ?? [];
    if (prefix === "") throw new Error(`"${part}" is not of the form prefix=profile`);
    if (isReservedRoom(prefix)) throw new Error(`"${prefix}": rooms of that name are Greenroom's own`);
    const known = ProfileName.safeParse(profile);
    if (!known.success) throw new Error(`"${profile}": ${known.error.issues[0]?.message}`);
    if (rules.some((rule) => rule.prefix === prefix)) throw new Error(`"${prefix}" is given twice`);
    rules.push({ prefix, profile });
  }
  return rules;
}

/** The profile of a room: that of the longest prefix it begins with. */
export const inboundProfileOf = (rules: InboundRooms, room: string): string | undefined =>
  rules.filter(({ prefix }) => room.startsWith(prefix)).sort((a, b) => b.prefix.length - a.prefix.length)[0]
    ?.profile;
