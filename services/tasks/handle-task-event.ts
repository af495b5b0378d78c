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

/** Lost races after which the message is redelivered. */
const MAX_RACES = 10;

/**
 * Handles one message, and acks it after the record's commands. If the process dies in between, redelivery repeats the
 * commands. An attempt is saved before its session is requested, and every repeated request has the same session id.
 */
export async function handleTaskEvent(deps: TaskDeps, event: TaskEvent): Promise<Ack> {
  for (let race = 0; race < MAX_RACES; race++) {
    const before = await deps.bus.kv.get(tasks, taskKey(event.tenant, event.taskId));
    if (before === undefined) return "nak"; // The event overtook the task's own request.
    const after = reduceTask(before.value, event);
    if (after !== before.value) {
      const record = { ...after, writeId: deps.nextWriteId() };
      if ((await deps.bus.kv.update(tasks, record, before.revision)) === undefined) continue;
      deps.count?.(record, before.value);
      logTransition(deps.log, before.value, record);
    }
    if (!endedItself(event, after)) await executeCommands(deps, after);
    return "ack";
  }
  return "nak";
}

/** The session has just ended by itself, so no command has to end it. */
const endedItself = (event: TaskEvent, record: TaskRecord): boolean =>
  event.type === "session_ended" && event.attempt === record.attempt;

function logTransition(log: Log, before: TaskRecord, after: TaskRecord): void {
  if (before.state === after.state) return;
  const error = isTaskEnd(after.state) ? after.error : after.attempts.at(-1)?.error;
  log.info(
    {
      taskId: after.taskId,
      attempt: after.attempt,
      from: before.state,
      to: after.state,
      ...(error === undefined ? {} : { reason: error.message }),
    },
    "a task changed its state",
  );
}
