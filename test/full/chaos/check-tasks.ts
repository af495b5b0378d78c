// Invariants of tasks: 1 accepted ones exist, 2 they end, 9 no call outlives them, 10 one per key, 15 nobody is called twice.
import { sessionKey } from "../../../libs/contracts/ids.ts";
import { isTaskEnd, type TaskRecord, taskKey } from "../../../libs/contracts/tasks/task.ts";
import { callNameOf } from "../../../services/providers/drivers/vapi-status.ts";
import type { Remains, SentTask, Violation } from "./evidence.ts";
import { groupBy, secondsOf } from "./read-evidence.ts";

/** The evidence about tasks and their calls. */
export interface TaskEvidence {
  readonly sentTasks: readonly SentTask[];
  readonly remains: Pick<Remains, "tasks" | "dialed" | "launches" | "records">;
}

export function checkTasks(evidence: TaskEvidence): Violation[] {
  return [
    ...checkAccepted(evidence),
    ...checkEnded(evidence),
    ...checkDialed(evidence),
    ...checkLaunches(evidence),
  ];
}

const isAccepted = (task: SentTask): task is SentTask & { taskId: string } => task.taskId !== undefined;

/** 1: an accepted task exists at the end. 10: its key has no other task. */
function checkAccepted({ sentTasks, remains }: TaskEvidence): Violation[] {
  const found: Violation[] = [];
  const there = new Set(remains.tasks.map(({ tenant, taskId: id }) => taskKey(tenant, id)));
  const accepted = sentTasks.filter(isAccepted);
  for (const [key, requests] of groupBy(
    accepted,
    ({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`,
  )) {
    const ids = [...new Set(requests.map(({ taskId }) => taskId))];
    if (ids.length > 1)
      found.push({ invariant: 10, what: `the key ${key} was given the tasks ${ids.join(" and ")}` });
    for (const { tenant, taskId, sentAtMs } of requests.slice(0, 1))
      if (!there.has(taskKey(tenant, taskId)))
        found.push({
          invariant: 1,
          what: `task ${taskId}, accepted at ${secondsOf(sentAtMs)}, does not exist`,
        });
  }
  return found;
}

/** 2: the run cancels every open task at the end, so all are over. */
const checkEnded = ({ remains }: TaskEvidence): Violation[] =>
  remains.tasks
    .filter(({ state }) => !isTaskEnd(state))
    .map(({ taskId: id, state, attempt }) => ({
      invariant: 2,
      what: `task ${id} is still ${state} in its attempt ${attempt} after its cancellation`,
    }));

/** 15: one call an attempt, one answered call a task, and no call without a task. 9: no call continues. */
function checkDialed({ remains }: TaskEvidence): Violation[] {
  const owners = new Map(remains.tasks.flatMap(namesOf));
  const found: Violation[] = [];
  for (const [name, calls] of groupBy(remains.dialed, (call) => call.name)) {
    const owner = owners.get(name);
    const times = calls.map(({ atMs }) => secondsOf(atMs)).join(" and ");
    if (owner === undefined)
      found.push({ invariant: 15, what: `${calls[0]?.to} was called at ${times} without a task` });
    else if (calls.length > 1)
      found.push({
        invariant: 15,
        what: `${calls[0]?.to} was called at ${times} for one attempt of task ${owner.task}`,
        sessionId: owner.sessionId,
      });
  }
  const answered = remains.dialed.filter(({ wasAnswered }) => wasAnswered);
  for (const [task, calls] of groupBy(answered, ({ name }) => owners.get(name)?.task ?? ""))
    if (task !== "" && calls.length > 1)
      found.push({ invariant: 15, what: `${calls[0]?.to} answered ${calls.length} calls of task ${task}` });
  for (const { name, to, isLive } of remains.dialed) {
    const sessionId = owners.get(name)?.sessionId;
    if (isLive)
      found.push({
        invariant: 9,
        what: `the call to ${to} continues at the end`,
        ...(sessionId === undefined ? {} : { sessionId }),
      });
  }
  return found;
}

const namesOf = ({ tenant, taskId: id, attempts }: TaskRecord) =>
  attempts.map(
    ({ sessionId }) =>
      [callNameOf(tenant, sessionId), { task: sessionKey({ tenant, sessionId: id }), sessionId }] as const,
  );

/** 9: the launches of ended sessions are over or unknown. */
const checkLaunches = ({ remains }: TaskEvidence): Violation[] => {
  const ended = new Set(
    remains.records.flatMap(({ tenant, sessionId: id, state }) =>
      state === "ended" ? [sessionKey({ tenant, sessionId: id })] : [],
    ),
  );
  return remains.launches
    .filter(
      ({ tenant, sessionId, state }) =>
        state !== "over" && state !== "unknown" && ended.has(sessionKey({ tenant, sessionId })),
    )
    .map(({ sessionId, attempt, state }) => ({
      invariant: 9,
      what: `the launch for ${sessionId}#${attempt} is ${state} at the end`,
      sessionId,
    }));
};
