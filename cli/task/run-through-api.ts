// One task through the gateway, followed until it has ended.
import {
  CreateTaskAnswer,
  type CreateTaskRequest,
  type Task,
  TaskAnswer,
} from "../../libs/contracts/tasks/http.ts";
import { isTaskEnd } from "../../libs/contracts/tasks/task.ts";

const LOOK_MS = 500;
const ANSWER_MS = 10_000;

/**
 * @returns whether it was completed
 * @throws Error when it could not be asked for; a gateway that is away for a while meanwhile is waited for
 */
export async function runThroughApi(
  url: string,
  request: CreateTaskRequest,
  say: (line: string) => void,
): Promise<boolean> {
  const { taskId } = CreateTaskAnswer.parse(await ask(`${url}/api/tasks`, request));
  say(
    `task ${taskId} is taken in; it goes on if this ends. Cancel: curl -X POST ${url}/api/tasks/${taskId}/cancel`,
  );
  const told = new Set<string>();
  let trouble = "";
  for (;;) {
    try {
      const task = TaskAnswer.parse(await ask(`${url}/api/tasks/${taskId}`));
      trouble = "";
      for (const line of linesOf(task)) {
        if (told.has(line)) continue;
        told.add(line);
        say(line);
      }
      if (isTaskEnd(task.state)) return task.state === "completed";
    } catch (error) {
      const now = error instanceof Error ? error.message : String(error);
      if (now !== trouble) say(`the gateway can't be asked: ${now}; it is asked again`);
      trouble = now;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Everything there is to tell of a task, a line each, in the order in which it happened. */
function linesOf(task: Task): string[] {
  const lines: string[] = [];
  if (task.attempt === 0) lines.push("it waits for its time, a line and an agent");
  for (const { n, sessionId, states, error, sipCode, answeredBy } of task.attempts) {
    for (const { state, at } of states) lines.push(`attempt ${n} (session ${sessionId}): ${state} at ${at}`);
    if (sipCode !== undefined) lines.push(`attempt ${n}: SIP ${sipCode}`);
    if (answeredBy !== undefined) lines.push(`attempt ${n}: answered by ${answeredBy}`);
    if (error !== undefined) lines.push(`attempt ${n}: ${error.code}: ${error.message}`);
  }
  const last = task.attempts.at(-1);
  if (task.state === "queued" && last !== undefined)
    lines.push(`after attempt ${last.n} it is tried again in ${task.backoffMs / 1000} s at the earliest`);
  if (isTaskEnd(task.state)) lines.push(`the task is ${task.state}`);
  return lines;
}

async function ask(url: string, body?: unknown): Promise<unknown> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(ANSWER_MS),
    ...(body === undefined
      ? {}
      : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  }).catch((error: unknown) => {
    throw new Error(
      `No gateway answers at ${url}. Is it running? (${error instanceof Error ? error.message : error})`,
    );
  });
  const answer = (await response.json().catch(() => undefined)) as
    | { error?: { message?: string } }
    | undefined;
  if (response.ok) return answer;
  throw new Error(answer?.error?.message ?? `${url} answered ${response.status}.`);
}
