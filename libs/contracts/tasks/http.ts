// HTTP requests and answers about outbound tasks. The OpenAPI document is generated from them.
import { z } from "zod";
import { ProviderName } from "../providers/provider.ts";
import { ErrorBody } from "../sessions/http.ts";
import { TaskAttempt, TaskError, TaskId, TaskRetry, TaskState, taskFields } from "./task.ts";

export const CreateTaskRequest = z
  .strictObject({
    ...taskFields,
    idempotencyKey: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe("Like the header Idempotency-Key: two requests with the same key are one task."),
  })
  .meta({ id: "CreateTaskRequest" });
export type CreateTaskRequest = z.infer<typeof CreateTaskRequest>;

export const CreateTaskAnswer = z
  .object({ success: z.literal(true), taskId: TaskId, state: TaskState, message: z.string() })
  .meta({ id: "CreateTaskAnswer" });

export const TaskSummary = z
  .object({
    taskId: TaskId,
    state: TaskState,
    to: z.string(),
    from: z.string().nullable(),
    profile: z.string(),
    provider: ProviderName.nullable().describe("Null until the provider is known."),
    attempt: z.int().describe("Number of the newest attempt; 0 before the first."),
    failures: z.int().describe("Failed attempts. An attempt without a free agent does not count."),
    retry: TaskRetry,
    createdAt: z.string().nullable().describe("Null until the tasks service has handled the request."),
    scheduleAt: z.string().nullable(),
    endedAt: z.string().nullable(),
    error: TaskError.nullable().describe("Reason of the end, unless the task is completed."),
  })
  .meta({ id: "TaskSummary" });
export type TaskSummary = z.infer<typeof TaskSummary>;

export const Task = TaskSummary.extend({
  metadata: z.record(z.string(), z.unknown()),
  life: z.int().describe("1, plus one for each requested retry."),
  backoffMs: z.int().describe("Pause in ms between the end of the last attempt and the next one."),
  attempts: z
    .array(TaskAttempt)
    .describe(
      "Every attempt with its session, states and error. Of many attempts, the first and the newest ones.",
    ),
}).meta({ id: "Task" });
export type Task = z.infer<typeof Task>;

export const TaskAnswer = z.object({ success: z.literal(true), ...Task.shape }).meta({ id: "TaskAnswer" });

export const ListTasksQuery = z.strictObject({
  state: z
    .enum([...TaskState.options, "active", "ended"])
    .optional()
    .describe("A state, or `active` (dialing to inProgress), or `ended` (all final states)."),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe("`nextCursor` of the previous page."),
});
export type ListTasksQuery = z.infer<typeof ListTasksQuery>;

export const ListTasksAnswer = z
  .object({ success: z.literal(true), tasks: z.array(TaskSummary), nextCursor: z.string().nullable() })
  .meta({ id: "TaskList" });

export const RetryTaskRequest = z
  .strictObject({
    evenIfUnknown: z
      .boolean()
      .default(false)
      .describe("Dials again although the callee may have been called before."),
  })
  .meta({ id: "RetryTaskRequest" });

export const ChangeTaskAnswer = z
  .object({ success: z.literal(true), taskId: TaskId, state: TaskState, message: z.string() })
  .meta({ id: "ChangeTaskAnswer" });

/** One line of the answer to a bulk request: the result for one task, or the final summary. */
export const BulkLine = z
  .union([
    z.object({
      index: z.int().describe("Position of the task in the request, from 0."),
      taskId: TaskId,
      replayed: z
        .literal(true)
        .optional()
        .describe("True if an earlier request with the same key created the task."),
    }),
    z.object({ index: z.int(), error: ErrorBody.pick({ code: true, message: true, retryable: true }) }),
    z.object({
      done: z
        .boolean()
        .describe("False if the rest of the request was not processed. `error` contains the reason."),
      accepted: z.int(),
      refused: z.int(),
      error: ErrorBody.pick({ code: true, message: true, retryable: true }).optional(),
    }),
  ])
  .meta({ id: "BulkLine" });
export type BulkLine = z.infer<typeof BulkLine>;
