// Handles one event of a task: reduces its record and executes the record's commands.
import type { Ack, Delivery } from "../../libs/bus/bus.ts";
import { type EventRules, handleEvent } from "../../libs/bus/event-loop.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { isTaskEnd, type TaskEvent, type TaskRecord, taskKey } from "../../libs/contracts/tasks/task.ts";
import { reduceTask } from "../../libs/domain/task/reduce.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { executeCommands } from "./execute-commands.ts";
import type { CountTask } from "./task-metrics.ts";

export interface TaskDeps extends ServiceDeps {
  /** Unique to each write of each process. */
  readonly nextWriteId: () => string;
  readonly count?: CountTask | undefined;
}

/**
 * Handles one event. An attempt is saved before its session is requested. The session has the attempt's own id, so it is
 * the same however often the event is delivered.
 */
export const handleTaskEvent = (deps: TaskDeps, event: TaskEvent, delivery: Delivery): Promise<Ack> =>
  handleEvent(rulesOf(deps), taskKey(event.tenant, event.taskId), event, delivery);

const rulesOf = (deps: TaskDeps): EventRules<TaskRecord, TaskEvent> => ({
  bus: deps.bus,
  bucket: tasks,
  reduce: (record, event) => (record === undefined ? undefined : reduceTask(record, event)),
  withoutRecord: () => "nak",
  stamp: (record) => ({ ...record, writeId: deps.nextWriteId() }),
  onSaved(record, before) {
    deps.count?.(record, before);
    logChange(deps.log, record, before);
  },
  async act(record, event) {
    if (!isEndOfSession(event, record)) await executeCommands(deps, record);
    return record;
  },
});

/** The session that the record's commands would end has already ended. */
const isEndOfSession = (event: TaskEvent, record: TaskRecord): boolean =>
  event.type === "session_ended" && event.attempt === record.attempt;

function logChange(log: Log, after: TaskRecord, before: TaskRecord | undefined): void {
  if (before === undefined || before.state === after.state) return;
  const error = isTaskEnd(after.state) ? after.error : after.attempts.at(-1)?.error;
  const { taskId, attempt } = after;
  const reason = error === undefined ? {} : { reason: error.message };
  log.info({ taskId, attempt, from: before.state, to: after.state, ...reason }, "task changed its state");
}
