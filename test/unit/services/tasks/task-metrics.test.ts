// Metrics of tasks for Prometheus.
import { expect, test } from "vitest";
import type { TaskRecord } from "../../../../libs/contracts/tasks/task.ts";
import { reduceTask } from "../../../../libs/domain/task/reduce.ts";
import { createMetrics } from "../../../../libs/runtime/metrics.ts";
import { countTasks, measureTasks } from "../../../../services/tasks/task-metrics.ts";
import type { SeenTask } from "../../../../services/tasks/task-view.ts";
import { aTask, deadlineExceeded, sessionEnded, slotGranted } from "../../../kit/fixtures/tasks.ts";

const labels = 'profile="echo",provider="sip"';

test("counts a task at its start, at each attempt, and once at its end", async () => {
  const metrics = createMetrics("tasks");
  const count = countTasks(metrics);
  const task = aTask("a");
  count(task);
  const dialing = reduceTask(task, slotGranted(task));
  count(dialing, task);
  const waiting = reduceTask(dialing, sessionEnded(dialing, { endedReason: "agent_lost", wasReady: false }));
  count(waiting, dialing);
  expect(waiting.state).toBe("queued");
  const again = reduceTask(waiting, slotGranted(waiting));
  count(again, waiting);
  const ended = reduceTask(again, deadlineExceeded(again));
  count(ended, again);
  // A field of an ended task may change later.
  count({ ...ended, writeId: "later" }, ended);
  const text = await metrics.text();
  expect(text).toContain(`greenroom_tasks_created_total{${labels}} 1`);
  expect(text).toContain(`greenroom_task_attempts_total{${labels}} 2`);
  expect(text.match(/^greenroom_tasks_ended_total.*$/gm)).toEqual([
    `greenroom_tasks_ended_total{${labels},state="${ended.state}",code="${ended.error?.code ?? ""}"} 1`,
  ]);
});

test("counts open tasks by their present state", async () => {
  const metrics = createMetrics("tasks");
  const seen = (record: TaskRecord): SeenTask => ({
    key: "",
    record,
    revision: 1,
    seenAtMs: 0,
    attemptSeenAtMs: 0,
  });
  const queued = [aTask("a"), aTask("b")];
  const active = [reduceTask(aTask("c"), slotGranted(aTask("c")))];
  measureTasks(metrics, {
    get: () => undefined,
    queued: () => queued.map(seen),
    active: () => active.map(seen),
    onChange: () => () => {},
    stop: async () => {},
  });
  expect(await metrics.text()).toContain(`greenroom_tasks{${labels},state="queued"} 2`);
  expect(await metrics.text()).toContain(`greenroom_tasks{${labels},state="dialing"} 1`);
  queued.pop();
  expect(await metrics.text()).toContain(`greenroom_tasks{${labels},state="queued"} 1`);
});
