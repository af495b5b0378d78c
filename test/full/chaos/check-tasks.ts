// Of the outbound tasks: 1 what was accepted exists, 2 it comes to an end, 9 no call outlives it, 10 one for each key, 15 nobody is called twice.
import { sessionKey } from "../../../libs/contracts/ids.ts";
import { isTaskEnd, type TaskRecord, taskKey } from "../../../libs/contracts/tasks/task.ts";
import { callNameOf } from "../../../services/providers/drivers/vapi-status.ts";
import type { AskedTask, Remains, Violation } from "./evidence.ts";
import { groupBy, secondsOf } from "./read-evidence.ts";

/** What is known of tasks, and of what they led to. */
export interface TaskEvidence {
  readonly askedTasks: readonly AskedTask[];
  readonly remains: Pick<Remains, "tasks" | "dialed" | "launches" | "records">;
}

export function checkTasks(evidence: TaskEvidence): Violation[] {
  return [
    ...checkAccepted(evidence),
    ...checkEnded(evidence),
    ...checkDialled(evidence),
    ...checkLaunches(evidence),
  ];
}

const isAccepted = (asked: AskedTask): asked is AskedTask & { taskId: string } => asked.taskId !== undefined;

/** 1: a task that was accepted is there in the end, and 10: its key had no other. */
function checkAccepted({ askedTasks, remains }: TaskEvidence): Violation[] {
  const found: Violation[] = [];
  const there = new Set(remains.tasks.map(({ tenant, taskId: id }) => taskKey(tenant, id)));
  const accepted = askedTasks.filter(isAccepted);
  for (const [key, asks] of groupBy(
    accepted,
    ({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`,
  )) {
    const ids = [...new Set(asks.map(({ taskId }) => taskId))];
    if (ids.length > 1)
      found.push({ invariant: 10, what: `the key ${key} was given the tasks ${ids.join(" and ")}` });
    for (const { tenant, taskId, askedAtMs } of asks.slice(0, 1))
      if (!there.has(taskKey(tenant, taskId)))
        found.push({
          invariant: 1,
          what: `task ${taskId}, accepted at ${secondsOf(askedAtMs)}, is not there`,
        });
  }
  return found;
}

/** 2: everything was canceled that went on, and so is over. */
const checkEnded = ({ remains }: TaskEvidence): Violation[] =>
  remains.tasks
    .filter(({ state }) => !isTaskEnd(state))
    .map(({ taskId: id, state, attempt }) => ({
      invariant: 2,
      what: `task ${id} is still ${state} in its attempt ${attempt}; it was told to end`,
    }));

/** 15: one call for an attempt, one conversation for a task, none that no task wanted; 9: and none goes on. */
function checkDialled({ remains }: TaskEvidence): Violation[] {
  const owners = new Map(remains.tasks.flatMap(namesOf));
  const found: Violation[] = [];
  for (const [name, calls] of groupBy(remains.dialed, (call) => call.name)) {
    const owner = owners.get(name);
    const times = calls.map(({ atMs }) => secondsOf(atMs)).join(" and ");
    if (owner === undefined)
      found.push({ invariant: 15, what: `${calls[0]?.to} was called at ${times}, and no task wanted it` });
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
        what: `the call to ${to} goes on in the end`,
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

/** 9: what a provider was asked for is over, or nobody can tell any more. */
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
      what: `the launch for ${sessionId}#${attempt} is ${state} in the end`,
      sessionId,
    }));
};
