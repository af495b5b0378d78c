// POST /api/tasks/bulk: creates thousands of tasks in one request, which is read and answered as a stream.
import { Readable } from "node:stream";
import { z } from "zod";
import {
  type ErrorCode,
  errorTable,
  GreenroomError,
  isError,
  messageOf,
} from "../../../libs/contracts/errors.ts";
import { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import {
  type BulkLine,
  BulkLine as BulkLineSchema,
  CreateTaskRequest,
} from "../../../libs/contracts/tasks/http.ts";
import { faultsOf } from "../../../libs/contracts/validation.ts";
import type { Gateway } from "../context.ts";
import { type Element, JsonElements } from "../http/json-stream.ts";
import { isTooDeep } from "../http/request-guards.ts";
import type { Routes } from "../http/routes.ts";
import { createTask } from "./create-task.ts";

const BULK_TASKS_MAX = 10_000;
/** Four times the size of a task with full metadata. */
const ELEMENT_MAX = 32 * 1024;
/** Number of tasks that are stored at the same time. Until one is done, no more of the body is read. */
const AT_ONCE = 64;
/**
 * More than all results together. The buffer holds them for a client that sends its whole body before it reads. Otherwise
 * client and gateway would wait for each other forever.
 */
const RESULTS_BYTES_MAX = 16 * 1024 * 1024;
const MESSAGE_MAX = 300;

export function bulkTasksRoute(app: Routes, gateway: Gateway): void {
  app.register(async (scope: Routes) => {
    scope.removeAllContentTypeParsers();
    // The handler reads the body itself, no faster than it can store the tasks.
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null, undefined));
    scope.post(
      "/api/tasks/bulk",
      {
        schema: {
          summary: "Create up to 10,000 tasks",
          description: `The request is NDJSON or a JSON array. Each task has the fields of POST /api/tasks, including its own idempotencyKey. The answer is NDJSON in the same order: \`{index, taskId}\` or \`{index, error}\` for each task, and \`{done, accepted, refused}\` at the end. If an answer is incomplete, repeat the request with the same keys.`,
          tags: ["tasks"],
          body: z.any().describe("NDJSON or a JSON array."),
          response: {
            200: { content: { "application/x-ndjson": { schema: BulkLineSchema } } },
            "4xx": ErrorAnswer,
            "5xx": ErrorAnswer,
          },
        },
      },
      async (request, reply) => {
        const lines = Readable.from(resultLines(gateway, request.raw, request.id), {
          objectMode: false,
          highWaterMark: RESULTS_BYTES_MAX,
        });
        return reply.type("application/x-ndjson; charset=utf-8").send(lines as never);
      },
    );
  });
}

/** Yields each result as a line, in the order of the tasks, and at the end the totals. */
async function* resultLines(gateway: Gateway, body: Readable, traceId: string): AsyncGenerator<Buffer> {
  const count = { accepted: 0, refused: 0 };
  const pending: Promise<BulkLine>[] = [];
  const storing = createStoring(gateway);
  const writeLine = (line: BulkLine): Buffer => {
    if ("taskId" in line) count.accepted += 1;
    else count.refused += 1;
    return Buffer.from(`${JSON.stringify(line)}\n`);
  };
  let index = 0;
  let broken: unknown;
  try {
    for await (const element of elementsOf(body, gateway.config.GREENROOM_BULK_LIMIT_BYTES)) {
      if (index >= BULK_TASKS_MAX)
        throw new GreenroomError("payload_too_large", `The request has more than ${BULK_TASKS_MAX} tasks.`);
      pending.push(storing(element, index++));
      if (pending.length >= AT_ONCE) yield writeLine(await (pending.shift() as Promise<BulkLine>));
    }
  } catch (error) {
    broken = error;
  }
  for (const result of pending) yield writeLine(await result);
  if (broken !== undefined) {
    gateway.log.info({ error: broken, traceId }, "bulk request failed");
    // The rest of the body is read and discarded. Otherwise the client would wait forever to send it.
    body.resume();
  }
  const end: BulkLine = {
    done: broken === undefined,
    ...count,
    ...(broken === undefined ? {} : { error: describeError(broken) }),
  };
  yield Buffer.from(`${JSON.stringify(end)}\n`);
}

/** @throws GreenroomError payload_too_large, or the error of the connection */
async function* elementsOf(body: Readable, limitBytes: number): AsyncGenerator<Element> {
  const splitter = new JsonElements(ELEMENT_MAX);
  const decoder = new TextDecoder();
  let bytes = 0;
  // The body must not be destroyed on an early exit, or the connection closes before the results are sent.
  for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limitBytes)
      throw new GreenroomError(
        "payload_too_large",
        `The request body is larger than GREENROOM_BULK_LIMIT_BYTES (${limitBytes}).`,
      );
    yield* splitter.push(decoder.decode(chunk, { stream: true }));
  }
  yield* splitter.push(decoder.decode());
  yield* splitter.end();
}

/** Stores single tasks; never throws. Once the store is unavailable, later tasks fail immediately instead of waiting. */
function createStoring(gateway: Gateway): (element: Element, index: number) => Promise<BulkLine> {
  let storeError: GreenroomError | undefined;
  return async (element, index) => {
    try {
      if (storeError !== undefined) throw storeError;
      const { taskId, replayed } = await createTask(gateway, readTask(element));
      return { index, taskId, ...(replayed ? { replayed } : {}) };
    } catch (error) {
      if (isError(error, "storage_unavailable") || isError(error, "storage_full"))
        storeError = error as GreenroomError;
      else if (!(error instanceof GreenroomError))
        gateway.log.error({ error }, "failed to store a task of a bulk request");
      return { index, error: describeError(error) };
    }
  };
}

/** @throws GreenroomError invalid_request */
function readTask(element: Element): CreateTaskRequest {
  const refuse = (reason: string) => new GreenroomError("invalid_request", reason);
  if ("fault" in element) throw refuse(element.fault);
  let value: unknown;
  try {
    value = JSON.parse(element.text);
  } catch {
    throw refuse("The task is not valid JSON.");
  }
  if (element.text.includes('"__proto__"')) throw refuse("The name __proto__ is not allowed for a field.");
  if (isTooDeep(value)) throw refuse("The task is nested too deeply.");
  const parsed = CreateTaskRequest.safeParse(value);
  if (parsed.success) return parsed.data;
  throw refuse(faultsOf(parsed.error, 3));
}

function describeError(error: unknown): { code: ErrorCode; message: string; retryable: boolean } {
  const code = error instanceof GreenroomError ? error.code : "internal";
  const message =
    error instanceof GreenroomError
      ? messageOf(error)
      : "Unexpected error in the gateway, or a broken connection.";
  return { code, message: message.slice(0, MESSAGE_MAX), retryable: errorTable[code].retryable };
}
