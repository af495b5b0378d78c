// Texts of a session that are too large for its record: they have a bucket of their own, and the record refers to them.
import { z } from "zod";
import { SessionId, type SessionRef, sessionKey, Tenant, token } from "../ids.ts";

/** LiveKit's limit for the metadata of a job, a participant or a room. */
export const METADATA_BYTES_MAX = 512 * 1024;
/** LiveKit's limit for the attributes of a participant: all names and values together. */
const ATTRIBUTES_BYTES_MAX = 64 * 1024;

const encoder = new TextEncoder();
export const bytesOf = (text: string): number => encoder.encode(text).length;

/** The metadata and attributes of a participant, within LiveKit's limits. */
export const ParticipantMetadata = z
  .string()
  .refine((text) => bytesOf(text) <= METADATA_BYTES_MAX, "metadata may be 524,288 bytes at most");
export const ParticipantAttributes = z
  .custom<Record<string, string>>(
    (value) =>
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((text) => typeof text === "string"),
    "expected an object with texts",
  )
  .refine(
    (value) => bytesOf(Object.entries(value).flat().join("")) <= ATTRIBUTES_BYTES_MAX,
    "attributes may be 65,536 bytes at most, with their names",
  )
  .meta({ type: "object", additionalProperties: { type: "string" } });

export interface Participant {
  readonly metadata?: string | undefined;
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}

/** Refers to a stored text by its hash, so that repeated requests store it once and others never replace it. */
export const TextRef = z.object({ bytes: z.number().int().nonnegative(), hash: token("A hash") });
export type TextRef = z.infer<typeof TextRef>;

/** The stored texts of a session. */
export const TextRefs = z.object({
  /** The metadata for the agent. The record's own metadata are empty then. */
  metadata: TextRef.optional(),
  /** For the tokens of the session's user. The attributes are a JSON object. */
  participantMetadata: TextRef.optional(),
  participantAttributes: TextRef.optional(),
});
export type TextRefs = z.infer<typeof TextRefs>;

export const StoredText = z.object({
  v: z.literal(1),
  tenant: Tenant,
  sessionId: SessionId,
  hash: TextRef.shape.hash,
  /** The text as UTF-8 in base64, whose size is known. JSON may need six times the size of a text. */
  base64: z.string(),
});
export type StoredText = z.infer<typeof StoredText>;

export const storedTextKey = (session: SessionRef, { hash }: Pick<TextRef, "hash">): string =>
  `${sessionKey(session)}.${hash}`;
