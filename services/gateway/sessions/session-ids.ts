// Ids of sessions: random ones, and ones by which racing callers mean the same session.
import { createHash, randomBytes } from "node:crypto";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** 128 bits as 22 letters and digits, so that a double click selects the whole. */
function base62(bytes: Uint8Array): string {
  let number = BigInt(`0x${Buffer.from(bytes.subarray(0, 16)).toString("hex")}`);
  let text = "";
  for (let i = 0; i < 22; i++) {
    text = DIGITS[Number(number % 62n)] + text;
    number /= 62n;
  }
  return text;
}

const sha256 = (...parts: string[]): Buffer => createHash("sha256").update(JSON.stringify(parts)).digest();

export const randomToken = (): string => base62(randomBytes(16));
export const randomSessionId = (): string => `s_${randomToken()}`;

/** The session of an Idempotency-Key: the same on whichever gateway the repeat arrives. */
export const sessionIdOfKey = (tenant: string, key: string): string =>
  `s_${base62(sha256("key", tenant, key))}`;

/** The n-th session of a room that was named by clients. */
export const sessionIdOfRoom = (tenant: string, room: string, generation: number): string =>
  `s_${base62(sha256("room", tenant, room, String(generation)))}`;

/** A fingerprint of what was asked for; the order of fields does not count. */
export const fingerprint = (request: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(sorted(request)))
    .digest("hex")
    .slice(0, 32);

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, sorted(field)]));
}
