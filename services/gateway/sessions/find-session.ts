// Finds one session in the view, the bucket, or the stream.
import { sessions } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { sessionKey } from "../../../libs/contracts/ids.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import type { Gateway } from "../context.ts";
import { type PublicSession, toPublicSession } from "./public-session.ts";

export interface Found {
  readonly record: PublicSession;
  /** 0 while there is no record. */
  readonly revision: number;
}

/** Finds a session in the view, in its bucket if the view is behind, or among the requests that this gateway stored. */
export async function findSession(gateway: Gateway, sessionId: string): Promise<Found | undefined> {
  const seen = gateway.sessions.get(gateway.tenant, sessionId);
  if (seen !== undefined) return seen;
  const entry = await gateway.bus.kv.get(sessions, sessionKey({ tenant: gateway.tenant, sessionId }));
  if (entry !== undefined) return { record: entry.value, revision: entry.revision };
  const accepted = gateway.accepted.get(sessionId);
  return accepted?.isStored ? { record: toPublicSession(accepted.requested), revision: 0 } : undefined;
}

/**
 * Like findSession, but also searches the stream. A session of another gateway is only there while no dispatcher runs.
 * @throws GreenroomError not_found
 */
export async function requireSession(gateway: Gateway, sessionId: string): Promise<Found> {
  const found = await findSession(gateway, sessionId);
  if (found !== undefined) return found;
  const requested = await findRequested(gateway, sessionId);
  if (requested !== undefined) return { record: toPublicSession(requested), revision: 0 };
  throw new GreenroomError("not_found", `No session "${sessionId}". It may have ended long ago.`);
}

/** The stored request of a session without other events. A session with other events and no record was deleted. */
async function findRequested(gateway: Gateway, sessionId: string) {
  const subject = `session.${gateway.tenant}.${sessionId}.*`;
  const [first, ...others] = await gateway.bus.streams.read(sessionEvents, {
    subject,
    limit: 2,
    order: "newest-first",
  });
  const event = first?.message;
  return event?.type === "requested" && others.length === 0 ? event : undefined;
}
