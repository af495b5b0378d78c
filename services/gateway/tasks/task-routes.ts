// The routes of tasks, under /api/tasks.
import { z } from "zod";
import { tasks } from "../../../libs/contracts/buckets.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import {
  ChangeTaskAnswer,
  CreateTaskAnswer,
  CreateTaskRequest,
  ListTasksAnswer,
  ListTasksQuery,
  RetryTaskRequest,
  TaskAnswer,
} from "../../../libs/contracts/tasks/http.ts";
import { isTaskEnd, TaskId } from "../../../libs/contracts/tasks/task.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "../http/routes.ts";
import { bulkTasksRoute } from "./bulk-tasks.ts";
import { cancelTask, retryTask, stateOf } from "./change-task.ts";
import { createTask } from "./create-task.ts";
import { isStored, requireTask, summarizeTask, toPublicTask } from "./public-task.ts";
import { indexTasks } from "./task-index.ts";

const Params = z.strictObject({ id: TaskId });
const Headers = z.looseObject({
  "idempotency-key": z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe("A repeat with the same key and the same body returns the same task."),
});
const errors = { "4xx": ErrorAnswer, "5xx": ErrorAnswer };

export function taskRoutes(app: Routes, gateway: Gateway): void {
  createRoute(app, gateway);
  listRoute(app, gateway);
  bulkTasksRoute(app, gateway);
  getRoute(app, gateway);
  cancelRoute(app, gateway);
  retryRoute(app, gateway);
}

function createRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/tasks",
    {
      schema: {
        summary: "Create a task",
        description:
          "Answers 202 when the task is stored. The call begins when a call slot and an agent are free.",
        tags: ["tasks"],
        headers: Headers,
        body: CreateTaskRequest,
        response: { 202: CreateTaskAnswer, ...errors },
      },
    },
    async (request, reply) => {
      const opened = await createTask(gateway, request.body, request.headers["idempotency-key"]);
      if (opened.replayed) reply.header("Idempotent-Replayed", "true");
      const task = opened.replayed ? await requireTask(gateway, opened.taskId) : undefined;
      const state = task === undefined ? "queued" : stateOf(task);
      const message = opened.replayed
        ? `An earlier request created this task. It is ${state}.`
        : "The task is stored. The call begins as soon as the limits allow it.";
      return reply.code(202).send({ success: true as const, taskId: opened.taskId, state, message });
    },
  );
}

function listRoute(app: Routes, gateway: Gateway): void {
  const index = indexTasks(gateway);
  app.addHook("onClose", () => index.stop());
  app.get(
    "/api/tasks",
    {
      schema: {
        summary: "List tasks, newest first",
        tags: ["tasks"],
        querystring: ListTasksQuery,
        response: { 200: ListTasksAnswer, ...errors },
      },
    },
    async ({ query }) => {
      const { keys, nextCursor } = await index.page(query);
      const found = await Promise.all(keys.map((key) => gateway.bus.kv.get(tasks, key)));
      const summaries = found.flatMap((entry) => (entry === undefined ? [] : [summarizeTask(entry.value)]));
      return { success: true as const, tasks: summaries, nextCursor };
    },
  );
}

function getRoute(app: Routes, gateway: Gateway): void {
  app.get(
    "/api/tasks/:id",
    {
      schema: {
        summary: "Get a task with every attempt and its error",
        tags: ["tasks"],
        params: Params,
        response: { 200: TaskAnswer, ...errors },
      },
    },
    async ({ params }) => ({
      success: true as const,
      ...toPublicTask(await requireTask(gateway, params.id)),
    }),
  );
}

function cancelRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/tasks/:id/cancel",
    {
      schema: {
        summary: "Cancel a task",
        description:
          "A waiting task never begins. A call in progress is hung up. Answers 200 if the task is canceled, now or before, and 202 if this takes longer.",
        tags: ["tasks"],
        params: Params,
        body: z.strictObject({}),
        response: { 200: ChangeTaskAnswer, 202: ChangeTaskAnswer, ...errors },
      },
    },
    async ({ params }, reply) => {
      const state = stateOf(await cancelTask(gateway, params.id));
      const message = isTaskEnd(state) ? `The task is ${state}.` : "The task is being canceled.";
      return reply
        .code(isTaskEnd(state) ? 200 : 202)
        .send({ success: true as const, taskId: params.id, state, message });
    },
  );
}

function retryRoute(app: Routes, gateway: Gateway): void {
  app.post(
    "/api/tasks/:id/retry",
    {
      schema: {
        summary: "Retry an unsuccessful task",
        description:
          "Queues the task again under the same id, with the full number of attempts. Earlier attempts remain visible.",
        tags: ["tasks"],
        params: Params,
        body: RetryTaskRequest,
        response: { 202: ChangeTaskAnswer, ...errors },
      },
    },
    async ({ params, body }, reply) => {
      const task = await retryTask(gateway, params.id, body.evenIfUnknown);
      const life = isStored(task) ? task.life : 1;
      return reply.code(202).send({
        success: true as const,
        taskId: params.id,
        state: stateOf(task),
        message: `The task is queued again (run ${life}).`,
      });
    },
  );
}
