// Creates one task through the gateway and follows it to its end.
import {
  CreateTaskAnswer,
  type CreateTaskRequest,
  type Task,
  TaskAnswer,
} from "../../libs/contracts/tasks/http.ts";
import { isTaskEnd } from "../../libs/contracts/tasks/task.ts";

const POLL_MS = 500;
const ANSWER_MS = 10_000;

/**
 * Waits for the gateway while it can't be reached, once the task is created.
 * @returns whether the task completed
 * @throws Error if the task could not be created
 */
export async function runThroughApi(
  url: string,
  request: CreateTaskRequest,
  print: (line: string) => void,
): Promise<boolean> {
  const { taskId } = CreateTaskAnswer.parse(await ask(`${url}/api/tasks`, request));
  print(
    `created task ${taskId}, which continues if this command ends. To cancel: curl -X POST ${url}/api/tasks/${taskId}/cancel`,
  );
  const printed = new Set<string>();
  let lastError = "";
  for (;;) {
    try {
      const task = TaskAnswer.parse(await ask(`${url}/api/tasks/${taskId}`));
      lastError = "";
      for (const line of linesOf(task)) {
        if (printed.has(line)) continue;
        printed.add(line);
        print(line);
      }
      if (isTaskEnd(task.state)) return task.state === "completed";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== lastError) print(`failed to read the task; retrying: ${message}`);
      lastError = message;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A line for each known fact about a task, in chronological order. */
function linesOf(task: Task): string[] {
  const lines: string[] = [];
  if (task.attempt === 0) lines.push("waiting for its schedule, a call slot and an agent");
  for (const { n, sessionId, states, error, sipCode, answeredBy } of task.attempts) {
    for (const { state, at } of states) lines.push(`attempt ${n} (session ${sessionId}): ${state} at ${at}`);
    if (sipCode !== undefined) lines.push(`attempt ${n}: SIP ${sipCode}`);
    if (answeredBy !== undefined) lines.push(`attempt ${n}: answered by ${answeredBy}`);
    if (error !== undefined) lines.push(`attempt ${n}: ${error.code}: ${error.message}`);
  }
  const last = task.attempts.at(-1);
  if (task.state === "queued" && last !== undefined)
    lines.push(`next attempt after attempt ${last.n} in ${task.backoffMs / 1000} s at the earliest`);
  if (isTaskEnd(task.state)) lines.push(`task: ${task.state}`);
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
      `Failed to reach the gateway at ${url}. Is it running? (${error instanceof Error ? error.message : error})`,
    );
  });
  const answer = (await response.json().catch(() => undefined)) as
    | { error?: { message?: string } }
    | undefined;
  if (response.ok) return answer;
  throw new Error(answer?.error?.message ?? `${url} answered ${response.status}.`);
}
