// Ids of tasks and of their sessions. A repeated request gets the same id, wherever it arrives.
import { base62, sha256 } from "../ids.ts";

/** The task of an idempotency key. */
export const taskIdOfKey = (tenant: string, key: string): string => idOf("key", tenant, key);

/** The task of a request without id and key: its position in the stream never changes. */
export const taskIdOfSeq = (tenant: string, queueSeq: number, requestHash: string): string =>
  idOf("place", tenant, String(queueSeq), requestHash);

/** The session of an attempt. An attempt that is begun twice has one session, since the id is the same. */
export const taskSessionOf = (taskId: string, attempt: number): string => `${taskId}-${attempt}`;

/** The attempt that a session belongs to, by its id; undefined for a session without a task. */
export function attemptOfSession(sessionId: string): { taskId: string; attempt: number } | undefined {
  const [, taskId, attempt] = /^(t_[A-Za-z0-9_-]+)-([1-9]\d{0,8})$/.exec(sessionId) ?? [];
  return taskId === undefined ? undefined : { taskId, attempt: Number(attempt) };
}

const idOf = (...parts: string[]): string => `t_${base62(sha256(["task", ...parts]))}`;
