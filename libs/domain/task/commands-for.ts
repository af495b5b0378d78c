// The commands that a task's record calls for.
import { isTaskEnd, type TaskRecord } from "../../contracts/tasks/task.ts";

export type TaskCommand =
  | { do: "request_session"; sessionId: string; attempt: number }
  | { do: "end_session"; sessionId: string; reason: string };

/**
 * The commands that a record calls for.
 *
 * The commands depend on the record and not on the transition that led to it. A redelivered message therefore repeats
 * them, also after a crash between the save and the commands. Each is harmless when repeated: an attempt has one
 * session, with one id.
 */
export function commandsFor(record: TaskRecord): TaskCommand[] {
  const attempt = record.attempts.at(-1);
  if (attempt === undefined) return [];
  const { sessionId } = attempt;
  if (record.state === "dialing") return [{ do: "request_session", sessionId, attempt: attempt.n }];
  const isOver = record.state === "queued" || isTaskEnd(record.state);
  // The agent may be leaving a message on the voicemail, and hangs up by itself.
  if (!isOver || attempt.over === true || attempt.state === "voicemail") return [];
  const reason = attempt.error?.message ?? `the task is ${record.state}`;
  return [{ do: "end_session", sessionId, reason }];
}
