// What must be said because a task's record stands as it stands.
import { isTaskEnd, type TaskRecord } from "../../contracts/tasks/task.ts";

export type TaskCommand =
  | { do: "request_session"; sessionId: string; attempt: number }
  | { do: "end_session"; sessionId: string; reason: string };

/**
 * The commands that a record calls for. They are read off the record and not off the transition that led to it, so a
 * message that is delivered again repeats them, and a crash between save and speech heals itself. Each is harmless
 * when repeated: an attempt has one session, by one name.
 */
export function commandsFor(record: TaskRecord): TaskCommand[] {
  const attempt = record.attempts.at(-1);
  if (attempt === undefined) return [];
  if (record.state === "dialing")
    return [{ do: "request_session", sessionId: attempt.sessionId, attempt: attempt.n }];
  const isOver = record.state === "queued" || isTaskEnd(record.state);
  // On a voicemail the agent may be leaving its message: it hangs up by itself.
  if (!isOver || attempt.over === true || attempt.state === "voicemail") return [];
  return [
    {
      do: "end_session",
      sessionId: attempt.sessionId,
      reason: attempt.error?.message ?? `the task is ${record.state}`,
    },
  ];
}
