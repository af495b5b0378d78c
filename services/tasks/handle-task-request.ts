// Creates the record of a requested task.
import type { Ack, Delivery } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { isExternal, type ProviderName } from "../../libs/contracts/providers/provider.ts";
import { SCHEDULE_AHEAD_DAYS_MAX, type TaskRequest, taskKey } from "../../libs/contracts/tasks/task.ts";
import { failure } from "../../libs/domain/task/outcome.ts";
import { newTask, requestHashOf, type TaskDefaults, taskIdOf } from "../../libs/domain/task/reduce.ts";
import { isoNow } from "../../libs/runtime/clock.ts";
import type { CountTask } from "./task-metrics.ts";

export interface TaskRequestDeps extends ServiceDeps {
  readonly hosts: () => readonly HostRecord[];
  readonly providerOf: (profile: string) => ProviderName;
  readonly deadlineMs: TaskDefaults["deadlineMs"];
  readonly nextWriteId: () => string;
  readonly count?: CountTask | undefined;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** A repeated request, by its id, its key or its sequence, changes nothing. */
export async function handleTaskRequest(
  deps: TaskRequestDeps,
  request: TaskRequest,
  { sequence }: Delivery,
): Promise<Ack> {
  const { bus, clock, log } = deps;
  refuseFarAhead(request, clock.now());
  const id = taskIdOf(request, sequence);
  const found = await bus.kv.get(tasks, taskKey(request.tenant, id));
  if (found !== undefined) {
    if (found.value.requestHash !== requestHashOf(request))
      log.warn({ taskId: id }, "ignored a task request whose idempotency key belongs to another request");
    return "ack";
  }
  const provider = request.provider ?? deps.providerOf(request.profile);
  const isUnknown = !isExternal(provider) && !isKnownProfile(deps.hosts(), request.profile);
  const task = newTask(
    request,
    { provider, deadlineMs: deps.deadlineMs },
    {
      queueSeq: sequence,
      at: isoNow(clock),
      refused: isUnknown
        ? failure("unknown_profile", `No host has an agent file "${request.profile}".`, false)
        : undefined,
    },
  );
  const saved = await bus.kv.update(tasks, { ...task, writeId: deps.nextWriteId() }, 0);
  // Another process was faster. The redelivery finds the record.
  if (saved === undefined) return "nak";
  deps.count?.(task);
  return "ack";
}

/** @throws GreenroomError invalid_request, which makes the message a dead letter */
function refuseFarAhead({ scheduleAt }: TaskRequest, now: number): void {
  if (scheduleAt === undefined || Date.parse(scheduleAt) - now <= SCHEDULE_AHEAD_DAYS_MAX * DAY_MS) return;
  throw new GreenroomError(
    "invalid_request",
    `scheduleAt: ${scheduleAt} is more than ${SCHEDULE_AHEAD_DAYS_MAX} days ahead.`,
  );
}

/** Whether a host has the profile. Without any host, every profile may exist. */
export const isKnownProfile = (hosts: readonly HostRecord[], profile: string): boolean =>
  hosts.length === 0 || hosts.some((host) => host.profiles[profile] !== undefined);
