// Handles one message about a task: read, decide, persist, act.
import type { Ack, Bus } from "../../libs/bus/bus.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { isTaskEnd, type TaskEvent, type TaskRecord, taskKey } from "../../libs/contracts/tasks/task.ts";
import { reduceTask } from "../../libs/domain/task/reduce.ts";
import type { Clock } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { executeCommands } from "./execute-commands.ts";
import type { CountTask } from "./task-metrics.ts";

export interface TaskDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  /** Unique to each write of each process. */
  readonly nextWriteId: () => string;
  readonly count?: CountTask | undefined;
}

/** Lost races after which the message is left to come again. */
const MAX_RACES = 10;

/**
 * Handles one message. It is acked (`done`) only after what the record calls for was said, so that a process that
 * dies in between leaves it to the next one: an attempt is saved before its session is asked for, and is asked for
 * under its own name however often the message comes.
 */
export async function handleTaskEvent(deps: TaskDeps, event: TaskEvent): Promise<Ack> {
  for (let race = 0; race < MAX_RACES; race++) {
    const before = await deps.bus.kv.get(tasks, taskKey(event.tenant, event.taskId));
    if (before === undefined) return "nak"; // It overtook its own request.
    const after = reduceTask(before.value, event);
    if (after !== before.value) {
      const record = { ...after, writeId: deps.nextWriteId() };
      if ((await deps.bus.kv.update(tasks, record, before.revision)) === undefined) continue;
      deps.count?.(record, before.value);
      tell(deps.log, before.value, record);
    }
    if (!isLastWord(event, after)) await executeCommands(deps, after);
    return "ack";
  }
  return "nak";
}

/** The session that would be ended has just been told to have ended. */
const isLastWord = (event: TaskEvent, record: TaskRecord): boolean =>
  event.type === "session_ended" && event.attempt === record.attempt;

function tell(log: Log, before: TaskRecord, after: TaskRecord): void {
  if (before.state === after.state) return;
  const error = isTaskEnd(after.state) ? after.error : after.attempts.at(-1)?.error;
  log.info(
    {
      task: after.taskId,
      attempt: after.attempt,
      from: before.state,
      to: after.state,
      ...(error === undefined ? {} : { reason: error.message }),
    },
    "a task moved",
  );
}
