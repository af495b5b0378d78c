// Derives the webhook events of a task from its record: one for each state.
import type { TaskRecord } from "../../libs/contracts/tasks/task.ts";
import { webhookEventId } from "../../libs/contracts/webhooks/webhook.ts";
import type { WebhookEvents } from "./enqueue.ts";

/**
 * The record numbers each change of state. A repeated attempt returns the task to `queued`, so an event like `busy`
 * occurs once, at the end of the task.
 */
export function taskEventsFor(record: TaskRecord): WebhookEvents {
  const { tenant, taskId: id, changes = [] } = record;
  return {
    tenant,
    about: "task",
    of: id,
    events: changes.map(({ n, state, attempt, at }) => ({
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
        // The record has the error of its newest change only.
        ...(n === changes.at(-1)?.n && record.error !== undefined
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
