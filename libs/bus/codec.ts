// Encodes messages and records as JSON, and checks their schema and address when it decodes them.
import type { Bucket } from "../contracts/buckets.ts";
import type { Channel, Topic } from "../contracts/streams.ts";
import { faultsOf, isDeeperThan } from "../contracts/validation.ts";
import type { Change } from "./bus.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Deeper than any message of Greenroom, and far below a stack overflow of a recursive check. */
const MAX_DEPTH = 64;
/** Messages of other systems may have field names and values of any length. */
const MAX_REASON = 500;

export const encode = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));

/** @throws Error that names the invalid fields; never a bare syntax error */
export function decode<T>(schema: Topic<T>["schema"], data: Uint8Array, what: string): T {
  if (data.length === 0) throw new Error(`${cut(what)} is empty`);
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(data));
  } catch {
    throw new Error(`${cut(what)} is not JSON`);
  }
  if (isDeeperThan(MAX_DEPTH, json)) {
    throw new Error(`${cut(what)} is nested deeper than ${MAX_DEPTH} levels`);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(cut(`${what} is invalid: ${faultsOf(parsed.error, 3)}`));
}

/**
 * Decodes a stored message. Reads, subscriptions and permissions rely on the subject, so a body that contradicts it is
 * rejected.
 * @throws Error that names the fault
 */
export function decodeMessage<T>(channel: Channel<T>, data: Uint8Array, subject: string): T {
  const message = decode(channel.schema, data, subject);
  const own = channel.subjectOf(message);
  if (own !== subject) throw new Error(cut(`${cut(subject, 200)} holds a message of ${own}`));
  return message;
}

/** Decodes a record, which must be stored under its own key. @throws Error that names the fault */
export function decodeRecord<T>(bucket: Bucket<T>, data: Uint8Array, key: string): T {
  const record = decode(bucket.schema, data, `${bucket.name}/${key}`);
  const own = bucket.keyOf(record);
  if (own !== key) throw new Error(cut(`${bucket.name}/${cut(key, 200)} holds the record of ${own}`));
  return record;
}

/** The subject of a key, or of several keys by wildcards (NATS ADR-8). */
export const subjectOfKey = (bucket: { readonly name: string }, key: string): string =>
  `$KV.${bucket.name}.${key}`;

export const keyOfSubject = (bucket: { readonly name: string }, subject: string): string =>
  subject.slice(subjectOfKey(bucket, "").length);

/** Decodes one stored revision. @throws Error that names the fault */
export function decodeChange<T>(
  bucket: Bucket<T>,
  stored: StoredRevision,
  read: typeof decodeRecord<T> = decodeRecord,
): Change<T> {
  const key = keyOfSubject(bucket, stored.subject);
  const value = stored.isDeleteMarker ? undefined : read(bucket, stored.data, key);
  return { key, value, revision: stored.sequence };
}

interface StoredRevision {
  readonly subject: string;
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly isDeleteMarker: boolean;
}

/** The payload for a dead letter: readable and bounded. */
export const textOf = (data: Uint8Array, maxBytes = 16_384): string =>
  decoder.decode(data.subarray(0, maxBytes));

export const cut = (text: string, length = MAX_REASON): string =>
  text.length <= length ? text : `${text.slice(0, length)}…`;
