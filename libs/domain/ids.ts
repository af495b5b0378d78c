// Hashes, fingerprints and ids that every process makes the same way from the same values.
import { createHash } from "node:crypto";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The first 128 bits as 22 letters and digits: a double click selects the whole id. */
export function base62(bytes: Uint8Array): string {
  let number = BigInt(`0x${Buffer.from(bytes.subarray(0, 16)).toString("hex")}`);
  let text = "";
  for (let i = 0; i < 22; i++) {
    text = DIGITS[Number(number % 62n)] + text;
    number /= 62n;
  }
  return text;
}

/** The SHA-256 of a value as JSON. JSON keeps the parts of a list apart, so ["ab", "c"] differs from ["a", "bc"]. */
export const sha256 = (value: unknown): Buffer => createHash("sha256").update(JSON.stringify(value)).digest();

/** 128 bits of hash of a request, in hex. The order of its fields does not count. */
export const fingerprint = (request: unknown): string => sha256(sorted(request)).toString("hex").slice(0, 32);

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, sorted(field)]));
}
