// Ids of tasks and of their sessions: the same request gets the same one, wherever it arrives.
import { createHash } from "node:crypto";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The task of an idempotency key. */
export const taskIdOfKey = (tenant: string, key: string): string => idOf("key", tenant, key);

/** The task of a message that has neither id nor key: its place in the stream never changes. */
export const taskIdOfSeq = (tenant: string, place: number, requestHash: string): string =>
  idOf("place", tenant, String(place), requestHash);

/** The session of one attempt. There is no other by this name, so an attempt that is begun twice is one. */
export const taskSessionOf = (taskId: string, attempt: number): string => `${taskId}-${attempt}`;

/** Which attempt a session is, by its name; undefined when it is of no task's making. */
export function attemptOfSession(sessionId: string): { taskId: string; attempt: number } | undefined {
  const [, taskId, attempt] = /^(t_[A-Za-z0-9_-]+)-([1-9]\d{0,8})$/.exec(sessionId) ?? [];
  return taskId === undefined ? undefined : { taskId, attempt: Number(attempt) };
}

/** A fingerprint of what was asked for; the order of fields does not count. */
export const fingerprintOf = (request: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(sorted(request)))
    .digest("hex")
    .slice(0, 32);

/** 128 bits as 22 letters and digits, so that a double click selects the whole. */
function idOf(...parts: string[]): string {
  const digest = createHash("sha256")
    .update(JSON.stringify(["task", ...parts]))
    .digest("hex");
  let number = BigInt(`0x${digest.slice(0, 32)}`);
  let text = "";
  for (let i = 0; i < 22; i++) {
    text = DIGITS[Number(number % 62n)] + text;
    number /= 62n;
  }
  return `t_${text}`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, sorted(field)]));
}
