// The tasks service: the only writer of tasks. Its instances share the work.
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import { taskEvents, taskRequests } from "../../libs/contracts/streams.ts";
import { type TaskRecord, taskKey } from "../../libs/contracts/tasks/task.ts";
import { watchHosts } from "../../libs/fleet/host-view.ts";
import { createKeyedQueue } from "../../libs/runtime/keyed-queue.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";
import { CallSlotTable } from "./call-slots.ts";
import type { Limits } from "./choose-next.ts";
import { followCalls } from "./follow-calls.ts";
import { handleTaskEvent } from "./handle-task-event.ts";
import { handleTaskRequest } from "./handle-task-request.ts";
import { Scheduler } from "./scheduler.ts";
import { countTasks, measureTasks } from "./task-metrics.ts";
import { watchTasks } from "./task-view.ts";

export interface TasksDeps extends ServiceDeps {
  readonly instance: string;
  readonly metrics?: Metrics;
  readonly settings: {
    readonly limits: Pick<Limits, "perTenant" | "perProvider" | "total" | "callingHours">;
    /** The most tasks that begin per second. */
    readonly rate: number;
    readonly deadlineMs: TaskRecord["deadlineMs"];
    /** The provider of a task that names none. */
    readonly providerOf: (profile: string) => ProviderName;
  };
}

const CONCURRENCY = 128;

export async function startTasks(deps: TasksDeps): Promise<{ stop(): Promise<void> }> {
  const { bus, clock, log, settings, metrics } = deps;
  let writes = 0;
  const nextWriteId = () => `${deps.instance}:${++writes}`;
  const hosts = await watchHosts(bus);
  const tasks = await watchTasks(bus, clock);
  const count = metrics === undefined ? undefined : countTasks(metrics);
  if (metrics !== undefined) measureTasks(metrics, tasks);
  const slots = new CallSlotTable({ bus, clock, tasks, rate: settings.rate, nextWriteId });
  const stopSlots = await slots.watch();

  const requestDeps = {
    bus,
    clock,
    log,
    nextWriteId,
    count,
    hosts: () => hosts.all(),
    providerOf: settings.providerOf,
    deadlineMs: settings.deadlineMs,
  };
  const stopRequests = await bus.streams.consume(
    taskRequests,
    { durable: "tasks", description: "Tasks service: creates tasks.", concurrency: CONCURRENCY },
    (request, delivery) => handleTaskRequest(requestDeps, request, delivery),
  );
  const inTurn = createKeyedQueue();
  const stopEvents = await bus.streams.consume(
    taskEvents,
    { durable: "tasks", description: "Tasks service: handles task events.", concurrency: CONCURRENCY },
    (event, delivery) =>
      inTurn(taskKey(event.tenant, event.taskId), () =>
        handleTaskEvent({ bus, clock, log, nextWriteId, count }, event, delivery),
      ),
  );
  const stopFollowing = await followCalls({ bus, clock });
  const scheduler = new Scheduler({ bus, clock, log, tasks, hosts, slots, limits: settings.limits });
  return {
    async stop() {
      await scheduler.stop();
      await Promise.all([stopRequests(), stopEvents(), stopFollowing()]);
      await Promise.all([stopSlots(), tasks.stop(), hosts.stop()]);
    },
  };
}
