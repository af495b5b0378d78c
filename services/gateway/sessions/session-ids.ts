// Ids of sessions: random ones, and ones by which racing callers mean the same session.
import { randomBytes } from "node:crypto";
import { base62, sha256 } from "../../../libs/domain/ids.ts";

export const randomToken = (): string => base62(randomBytes(16));
export const randomSessionId = (): string => `s_${randomToken()}`;

/** The session of an Idempotency-Key: the same on whichever gateway the repeat arrives. */
export const sessionIdOfKey = (tenant: string, key: string): string =>
  `s_${base62(sha256(["key", tenant, key]))}`;

/** The n-th session of a room that was named by clients. */
export const sessionIdOfRoom = (tenant: string, room: string, generation: number): string =>
  `s_${base62(sha256(["room", tenant, room, String(generation)]))}`;
