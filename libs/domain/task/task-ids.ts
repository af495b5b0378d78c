// Ids of tasks and of their sessions: the same request gets the same one, wherever it arrives.
import { base62, sha256 } from "../ids.ts";

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

const idOf = (...parts: string[]): string => `t_${base62(sha256(["task", ...parts]))}`;
