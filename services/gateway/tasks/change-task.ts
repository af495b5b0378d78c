// POST /api/tasks/:id/cancel and /retry: cancels or retries a task, and waits briefly for the effect.
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { taskEvents } from "../../../libs/contracts/streams.ts";
import { isTaskEnd, type TaskEvent, type TaskRecord } from "../../../libs/contracts/tasks/task.ts";
import { isoNow, sleep } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { type FoundTask, isStored, requireTask } from "./public-task.ts";

const WAIT_MS = 2000;
const LOOK_MS = 50;

/**
 * Cancels a task: a waiting task never begins, and a call in progress is hung up.
 * @returns the task after a short wait
 * @throws GreenroomError not_found, conflict if the task has already ended, storage_unavailable
 */
export async function cancelTask(gateway: Gateway, taskId: string): Promise<FoundTask> {
  const task = await requireTask(gateway, taskId);
  const state = stateOf(task);
  if (state === "canceled") return task;
  if (isTaskEnd(state)) throw new GreenroomError("conflict", `The task is already ${state}.`);
  await publish(gateway, {
    ...addressOf(gateway, taskId),
    type: "cancel_requested",
    attempt: isStored(task) ? task.attempt : 0,
    reason: "canceled by the API",
  });
  return await until(gateway, taskId, (now) => isTaskEnd(now.state));
}

/**
 * Starts an unsuccessful task again under the same id, with the full number of attempts.
 * @throws GreenroomError not_found, conflict if the task is running, is completed, or may have reached the callee
 */
export async function retryTask(
  gateway: Gateway,
  taskId: string,
  evenIfUnknown: boolean,
): Promise<FoundTask> {
  const task = await requireTask(gateway, taskId);
  refuseRetry(task, evenIfUnknown);
  if (!isStored(task)) return task;
  const { attempt, life } = task;
  await publish(gateway, { ...addressOf(gateway, taskId), type: "retry_requested", attempt, life });
  return await until(gateway, taskId, (now) => now.life > life);
}

function refuseRetry(task: FoundTask, evenIfUnknown: boolean): void {
  const state = stateOf(task);
  const refuse = (reason: string) => {
    throw new GreenroomError("conflict", reason);
  };
  if (!isTaskEnd(state))
    refuse(`The task is ${state} and continues automatically. Cancel it first, or wait.`);
  if (state === "completed") refuse("The task is completed. Create a new task to call again.");
  if (state === "unknown" && !evenIfUnknown)
    refuse('The callee may have been reached. To dial again anyway, send {"evenIfUnknown": true}.');
}

/** Waits until the task satisfies the condition, or until the time is over. */
async function until(
  gateway: Gateway,
  taskId: string,
  isWanted: (task: TaskRecord) => boolean,
): Promise<FoundTask> {
  const untilMs = gateway.clock.monotonic() + WAIT_MS;
  for (;;) {
    const task = await requireTask(gateway, taskId);
    if ((isStored(task) && isWanted(task)) || gateway.clock.monotonic() >= untilMs) return task;
    await sleep(gateway.clock, LOOK_MS);
  }
}

export const stateOf = (task: FoundTask): TaskRecord["state"] => (isStored(task) ? task.state : "queued");

const addressOf = ({ tenant, clock }: Gateway, taskId: string) => ({ tenant, taskId, at: isoNow(clock) });

const publish = (gateway: Gateway, event: TaskEvent) => gateway.bus.streams.publish(taskEvents, event);
