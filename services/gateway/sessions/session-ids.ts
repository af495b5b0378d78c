// Session ids: random ones, and derived ones, by which concurrent callers get the same session.
import { randomBytes } from "node:crypto";
import { roomOf } from "../../../libs/contracts/ids.ts";
import { base62, sha256 } from "../../../libs/domain/ids.ts";

export const randomToken = (): string => base62(randomBytes(16));
export const randomSessionId = (): string => `s_${randomToken()}`;

/** The session id of an Idempotency-Key, the same on every gateway. */
export const sessionIdOfKey = (tenant: string, key: string): string =>
  `s_${base62(sha256(["key", tenant, key]))}`;

/** The id of the n-th session in a room. A room that is named after a session has that one first. */
export const sessionIdOfRoom = (tenant: string, room: string, generation: number): string =>
  generation === 0 && room.startsWith(roomOf("s_"))
    ? room.slice(roomOf("").length)
    : `s_${base62(sha256(["room", tenant, room, String(generation)]))}`;
