// Stores the large texts of sessions.
import type { Bus } from "../../../libs/bus/bus.ts";
import { sessionMetadata } from "../../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { SessionRef } from "../../../libs/contracts/ids.ts";
import type { JobMetadata } from "../../../libs/contracts/sessions/session.ts";
import {
  bytesOf,
  type Participant,
  type StoredText,
  type TextRef,
  type TextRefs,
} from "../../../libs/contracts/sessions/stored-text.ts";
import { fingerprint } from "../../../libs/domain/ids.ts";

const MAX_TRIES = 5;

export type Texts = { readonly [Name in keyof TextRefs]?: string };

/** The texts of a new session that its record has no space for. */
export function textsOf({
  largeText,
  participant = {},
}: Pick<JobMetadata, "largeText"> & { readonly participant?: Participant | undefined }): Texts {
  const { attributes = {}, metadata = "" } = participant;
  return {
    ...(largeText === undefined ? {} : { metadata: largeText }),
    ...(metadata === "" ? {} : { participantMetadata: metadata }),
    ...(Object.keys(attributes).length === 0 ? {} : { participantAttributes: JSON.stringify(attributes) }),
  };
}

/** The references to texts, for the session's record. */
export function refsOf(texts: Texts): { stored?: TextRefs } {
  const refs = Object.entries(texts).map(([name, text]) => [name, refOfText(text)]);
  return refs.length === 0 ? {} : { stored: Object.fromEntries(refs) };
}

/** Stores the texts of a session. A repetition changes nothing. @throws GreenroomError storage_full, storage_unavailable */
export async function saveTexts(bus: Bus, session: SessionRef, texts: Texts): Promise<void> {
  for (const text of Object.values(texts)) await saveText(bus, session, text);
}

const refOfText = (text: string): TextRef => ({
  bytes: bytesOf(text),
  hash: fingerprint(text),
});

async function saveText(bus: Bus, { tenant, sessionId }: SessionRef, text: string): Promise<void> {
  const base64 = Buffer.from(text).toString("base64");
  const stored: StoredText = { v: 1, tenant, sessionId, hash: refOfText(text).hash, base64 };
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if ((await bus.kv.update(sessionMetadata, stored, 0)) !== undefined) return;
    // A repetition was faster, unless its write has failed since.
    if ((await bus.kv.get(sessionMetadata, sessionMetadata.keyOf(stored))) !== undefined) return;
  }
  throw new GreenroomError(
    "storage_unavailable",
    `Failed to store the metadata of ${sessionId}. Retry the request.`,
  );
}
