// Starts the session of a given room, once, however often and by however many gateways it is requested.
import type { JobMetadata, Requested } from "../../../libs/contracts/sessions/session.ts";
import type { Participant } from "../../../libs/contracts/sessions/stored-text.ts";
import type { Gateway } from "../context.ts";
import { createSession } from "./create-session.ts";
import { findSession } from "./find-session.ts";
import type { PublicSession } from "./public-session.ts";
import { sessionIdOfRoom } from "./session-ids.ts";

export type RoomStart = Pick<Requested, "user" | "provider" | "maxDurationMs" | "deleteRoom"> &
  JobMetadata & {
    readonly room: string;
    readonly profile: string | undefined;
    readonly participant?: Participant;
  };

/** The live session of a room. */
export const liveSessionIn = (gateway: Gateway, room: string): PublicSession | undefined =>
  gateway.sessions.inRoom(gateway.tenant, room).find(({ record }) => record.state !== "ended")?.record;

interface NextId {
  readonly sessionId: string;
  /** The number of sessions that the room had before. */
  readonly generation: number;
  readonly exists: boolean;
  /** The last session of the room that has ended, if it is still stored. */
  readonly earlier: PublicSession | undefined;
}

/** The id of the session that a room has, or gets next. Every gateway derives the same one. */
export async function nextSessionIn(gateway: Gateway, room: string): Promise<NextId> {
  // A hot agent's room is not the one that the id of its session derives from.
  let earlier: PublicSession | undefined = gateway.sessions.inRoom(gateway.tenant, room).at(-1)?.record;
  for (let generation = 0; ; generation++) {
    const sessionId = sessionIdOfRoom(gateway.tenant, room, generation);
    const found = await findSession(gateway, sessionId);
    if (found?.record.state !== "ended")
      return { sessionId, generation, exists: found !== undefined, earlier };
    earlier = found.record;
  }
}

/**
 * Returns the session of a room that has not ended, or starts one. Concurrent callers get the same session.
 * @param mayStart asked before the session is started, with the last session of the room
 * @returns undefined if `mayStart` answered no
 * @throws GreenroomError as createSession
 */
export async function ensureSession(
  gateway: Gateway,
  { profile, provider, maxDurationMs, ...start }: RoomStart,
  mayStart: (earlier: PublicSession | undefined) => Promise<boolean> = async () => true,
): Promise<string | undefined> {
  const { room } = start;
  const { sessionId, generation, exists, earlier } = await nextSessionIn(gateway, room);
  if (exists) return sessionId;
  if (!(await mayStart(earlier))) return undefined;
  await createSession(gateway, {
    ...start,
    sessionId,
    profile,
    provider,
    isRoomExclusive: false,
    maxDurationMs,
    // Concurrent callers are different users who request the same session.
    requestBody: { room, generation },
    isIdempotent: true,
  });
  return sessionId;
}
