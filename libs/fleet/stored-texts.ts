// Reads the large texts of sessions.
import type { Bus } from "../bus/bus.ts";
import { sessionMetadata } from "../contracts/buckets.ts";
import { GreenroomError } from "../contracts/errors.ts";
import type { SessionRef } from "../contracts/ids.ts";
import { metadataOfText, metadataTextOf, type SessionRecord } from "../contracts/sessions/session.ts";
import { type Participant, storedTextKey, type TextRef } from "../contracts/sessions/stored-text.ts";

/** @throws GreenroomError not_found if the text was deleted, storage_unavailable */
export async function readText(bus: Bus, session: SessionRef, ref: TextRef): Promise<string> {
  const entry = await bus.kv.get(sessionMetadata, storedTextKey(session, ref));
  if (entry !== undefined) return Buffer.from(entry.value.base64, "base64").toString();
  throw new GreenroomError("not_found", `The metadata of the session "${session.sessionId}" was deleted.`);
}

/** The text for an agent, which is stored apart if it is large. @throws as readText */
export function readMetadataText(
  bus: Bus,
  session: SessionRef & Pick<SessionRecord, "metadata" | "metadataText">,
  stored: TextRef | undefined,
): Promise<string> {
  return stored === undefined ? Promise.resolve(metadataTextOf(session)) : readText(bus, session, stored);
}

/** Reads the content of the tokens of the session's user. @throws as readText */
export async function readParticipant(
  bus: Bus,
  session: SessionRef & Pick<SessionRecord, "stored">,
): Promise<Participant> {
  const { participantAttributes, participantMetadata } = session.stored ?? {};
  const read = (ref: TextRef | undefined) => (ref === undefined ? undefined : readText(bus, session, ref));
  const [metadata, attributes] = await Promise.all([read(participantMetadata), read(participantAttributes)]);
  return { metadata, attributes: attributes === undefined ? undefined : JSON.parse(attributes) };
}

/** The metadata of a session as an object, for the agents of other systems. @throws as readText */
export async function metadataOf(bus: Bus, record: SessionRecord): Promise<SessionRecord["metadata"]> {
  const { metadata, stored } = record;
  return stored?.metadata === undefined
    ? metadata
    : metadataOfText(await readText(bus, record, stored.metadata));
}
