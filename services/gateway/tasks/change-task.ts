// POST /api/tasks/:id/cancel and /retry: a person's word about a task, and what came of it.

import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { taskEvents } from "../../../libs/contracts/streams.ts";
import { isTaskEnd, type TaskEvent, type TaskRecord } from "../../../libs/contracts/tasks/task.ts";
import { isoNow, sleep } from "../../../libs/runtime/clock.ts";
import type { Gateway } from "../context.ts";
import { type FoundTask, isStored, requireTask } from "./public-task.ts";

const WAIT_MS = 2000;
const LOOK_MS = 50;

/**
 * Cancels a task: one that waits never begins, and the call of one under way is hung up.
 * @returns the task as it is after a short wait
 * @throws GreenroomError not_found, conflict when it has ended otherwise, storage_unavailable
 */
export async function cancelTask(gateway: Gateway, taskId: string): Promise<FoundTask> {
  const task = await requireTask(gateway, taskId);
  const state = stateOf(task);
  if (state === "canceled") return task;
  if (isTaskEnd(state))
    throw new GreenroomError("conflict", `The task is ${state} already; there is nothing left to cancel.`);
  await say(gateway, {
    ...addressOf(gateway, taskId),
    type: "cancel_requested",
    attempt: isStored(task) ? task.attempt : 0,
    reason: "canceled by the API",
  });
  return await until(gateway, taskId, (now) => isTaskEnd(now.state));
}

/**
 * Gives a task that came to nothing another life: as many attempts as it had, under the same id.
 * @throws GreenroomError not_found, conflict while it goes on, was completed, or may have reached somebody
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
  await say(gateway, { ...addressOf(gateway, taskId), type: "retry_requested", attempt, life });
  return await until(gateway, taskId, (now) => now.life > life);
}

function refuseRetry(task: FoundTask, evenIfUnknown: boolean): void {
  const state = stateOf(task);
  const refuse = (reason: string) => {
    throw new GreenroomError("conflict", reason);
  };
  if (!isTaskEnd(state)) refuse(`The task is ${state}: it goes on by itself. Cancel it first, or wait.`);
  if (state === "completed") refuse("The task is completed. Make a new one to call again.");
  if (state === "unknown" && !evenIfUnknown)
    refuse(
      'Nobody can tell whether the callee was reached. To dial again all the same, send {"evenIfUnknown": true}.',
    );
}

/** The task as soon as it is as wanted, or as it is when the time is over. */
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

const say = (gateway: Gateway, event: TaskEvent) => gateway.bus.streams.publish(taskEvents, event);
