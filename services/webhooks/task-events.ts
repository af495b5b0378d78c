// What is told of an outbound task, read off its record: each state that it came to.
import type { TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { webhookEventId } from "../../libs/contracts/webhooks/webhook.ts";
import type { WebhookEvents } from "./enqueue.ts";

/**
 * Each change of its state has a number in the record. An attempt that is repeated brings the task back to `queued`;
 * so `busy` and the like are told once, when the task has ended so.
 */
export function taskEventsFor(record: TaskRecord): WebhookEvents {
  const { tenant, taskId: id, changes: moves = [] } = record;
  return {
    tenant,
    about: "task",
    of: id,
    events: moves.map(({ n, state, attempt, at }) => ({
      id: webhookEventId("task", id, n),
      type: `task.${state}` as const,
      taskId: id,
      sequence: n,
      timestamp: at,
      data: {
        to: record.to,
        profile: record.profile,
        provider: record.provider,
        metadata: JSON.parse(JSON.stringify(record.metadata)),
        state,
        attempt,
        ...attemptData(record, attempt),
        // Of the newest change alone: it is told as soon as it is saved.
        ...(n === moves.at(-1)?.n && record.error !== undefined
          ? { error: { code: record.error.code, message: record.error.message } }
          : {}),
      },
    })),
  };
}

function attemptData(record: TaskRecord, n: number): Record<string, string | number> {
  const attempt = record.attempts.find((one) => one.n === n);
  if (attempt === undefined) return {};
  return {
    sessionId: attempt.sessionId,
    ...(attempt.sipCode === undefined ? {} : { sipCode: attempt.sipCode }),
    ...(attempt.answeredBy === undefined ? {} : { answeredBy: attempt.answeredBy }),
    ...(attempt.error === undefined ? {} : { attemptError: attempt.error.code }),
  };
}
