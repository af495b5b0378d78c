// Makes the record of a task that was asked for.
import type { Ack, Bus, Delivery } from "../../libs/bus/bus.ts";
import { tasks } from "../../libs/contracts/buckets.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { HostRecord } from "../../libs/contracts/fleet/host.ts";
import { isExternal, type ProviderName } from "../../libs/contracts/providers/provider.ts";
import { SCHEDULE_AHEAD_DAYS_MAX, type TaskRequest, taskKey } from "../../libs/contracts/tasks/task.ts";
import { failure } from "../../libs/domain/task/outcome.ts";
import { newTask, requestHashOf, type TaskDefaults, taskIdOf } from "../../libs/domain/task/reduce.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { CountTask } from "./task-metrics.ts";

export interface TaskRequestDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly hosts: () => readonly HostRecord[];
  readonly providerOf: (profile: string) => ProviderName;
  readonly deadlineMs: TaskDefaults["deadlineMs"];
  readonly nextWriteId: () => string;
  readonly count?: CountTask | undefined;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** A request that comes again, by its id, its key or its place in the stream, is the same task and changes nothing. */
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
      log.warn({ task: id }, "a request with the key of another one is passed over: the first counts");
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
        ? failure("unknown_profile", `no host has an agent file "${request.profile}"`, false)
        : undefined,
    },
  );
  const saved = await bus.kv.update(tasks, { ...task, writeId: deps.nextWriteId() }, 0);
  // Another process was faster: the message comes again, and finds the record.
  if (saved === undefined) return "nak";
  deps.count?.(task);
  return "ack";
}

/** @throws GreenroomError invalid_request, on which the message goes to the dead letters */
function refuseFarAhead({ scheduleAt }: TaskRequest, now: number): void {
  if (scheduleAt === undefined || Date.parse(scheduleAt) - now <= SCHEDULE_AHEAD_DAYS_MAX * DAY_MS) return;
  throw new GreenroomError(
    "invalid_request",
    `scheduleAt: ${scheduleAt} is more than ${SCHEDULE_AHEAD_DAYS_MAX} days ahead.`,
  );
}

/** Whether a host has a file for it; without any host nobody can tell. */
export const isKnownProfile = (hosts: readonly HostRecord[], profile: string): boolean =>
  hosts.length === 0 || hosts.some((host) => host.profiles[profile] !== undefined);
