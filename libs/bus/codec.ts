// Messages and records as JSON text, checked against their shape and their address on the way in.
import type { Bucket } from "../contracts/buckets.ts";
import type { Channel, Topic } from "../contracts/streams.ts";
import type { Change } from "./bus.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Deeper than anything that we say, and far from where a recursive check would overflow the stack. */
const MAX_DEPTH = 64;
/** Names of fields and values may be pages long in a message that somebody else made. */
const MAX_REASON = 500;

export const encode = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));

/** @throws Error that says where the shape is wrong; never a bare syntax error. */
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
  const faults = parsed.error.issues.slice(0, 3).map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new Error(cut(`${what} is not of its shape: ${faults.join("; ")}`));
}

/**
 * A stored message. Its subject says whose it is, and by it others read, follow and restrict it: one whose body
 * says something else is nobody's.
 * @throws Error that says what is wrong
 */
export function decodeMessage<T>(channel: Channel<T>, data: Uint8Array, subject: string): T {
  const message = decode(channel.schema, data, subject);
  const own = channel.subjectOf(message);
  if (own !== subject) throw new Error(cut(`${cut(subject, 200)} holds a message of ${own}`));
  return message;
}

/** A record, which must stand under its own key. @throws Error that says what is wrong */
export function decodeRecord<T>(bucket: Bucket<T>, data: Uint8Array, key: string): T {
  const record = decode(bucket.schema, data, `${bucket.name}/${key}`);
  const own = bucket.keyOf(record);
  if (own !== key) throw new Error(cut(`${bucket.name}/${cut(key, 200)} holds the record of ${own}`));
  return record;
}

/** The subject of a key, or of many by wildcards (NATS ADR-8). */
export const subjectOfKey = (bucket: { readonly name: string }, key: string): string =>
  `$KV.${bucket.name}.${key}`;

export const keyOfSubject = (bucket: { readonly name: string }, subject: string): string =>
  subject.slice(subjectOfKey(bucket, "").length);

/** One stored revision. @throws Error that says what is wrong */
export function decodeChange<T>(
  bucket: Bucket<T>,
  stored: StoredRevision,
  read: typeof decodeRecord<T> = decodeRecord,
): Change<T> {
  const key = keyOfSubject(bucket, stored.subject);
  const value = stored.isMark ? undefined : read(bucket, stored.data, key);
  return { key, value, revision: stored.sequence };
}

interface StoredRevision {
  readonly subject: string;
  readonly sequence: number;
  readonly data: Uint8Array;
  /** It is the mark that a deletion leaves. */
  readonly isMark: boolean;
}

/** The payload for a dead letter: readable and bounded. */
export const textOf = (data: Uint8Array, maxBytes = 16_384): string =>
  decoder.decode(data.subarray(0, maxBytes));

export const cut = (text: string, length = MAX_REASON): string =>
  text.length <= length ? text : `${text.slice(0, length)}…`;

/** Without recursion, since it is there to protect what recurses. */
function isDeeperThan(levels: number, value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= levels; depth++) {
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== "object" || item === null) continue;
      for (const child of Object.values(item))
        if (typeof child === "object" && child !== null) next.push(child);
    }
    if (next.length === 0) return false;
    level = next;
  }
  return true;
}
