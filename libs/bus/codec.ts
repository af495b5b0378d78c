// Messages and records as JSON text, checked against their schema on the way in.
import type { Topic } from "../contracts/channels.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const encode = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));

/** @throws Error that says where the shape is wrong; never a bare syntax error. */
export function decode<T>(schema: Topic<T>["schema"], data: Uint8Array, what: string): T {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(data));
  } catch {
    throw new Error(`${what} is not JSON`);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.slice(0, 3).map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new Error(`${what} is not of its shape: ${faults.join("; ")}`);
}

/** The payload for a dead letter: readable and bounded. */
export const textOf = (data: Uint8Array, maxBytes = 16_384): string =>
  decoder.decode(data.subarray(0, maxBytes));
