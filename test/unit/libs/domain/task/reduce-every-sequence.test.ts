// Every sequence of up to six events to the task machine, and the rules at each step.
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { CallStatus, type ProviderName } from "../../../../../libs/contracts/providers/provider.ts";
import { EndedReason } from "../../../../../libs/contracts/sessions/session.ts";
import {
  isActiveTask,
  isTaskEnd,
  type TaskEvent,
  TaskRecord,
  type TaskState,
} from "../../../../../libs/contracts/tasks/task.ts";
import { reduceTask } from "../../../../../libs/domain/task/reduce.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import {
  aTask,
  callUpdated,
  cancelRequested,
  deadlineExceeded,
  retryRequested,
  sessionEnded,
  sessionReady,
  slotGranted,
} from "../../../../kit/fixtures/tasks.ts";

const LENGTH = 6;

const ends: TaskState[] = ["completed", "busy", "noAnswer", "voicemail", "failed", "canceled", "unknown"];
const mayBecome: Record<TaskState, TaskState[]> = {
  queued: ["dialing", "canceled", "failed"],
  dialing: ["ringing", "answered", "inProgress", "queued", ...ends],
  ringing: ["answered", "inProgress", "queued", ...ends],
  answered: ["inProgress", ...ends],
  inProgress: ends,
  completed: [],
  ...(Object.fromEntries(ends.slice(1).map((end) => [end, ["queued"]])) as Record<
    "busy" | "noAnswer" | "voicemail" | "failed" | "canceled" | "unknown",
    TaskState[]
  >),
};

/** Every kind of event: of this attempt, of an older one, and of one that doesn't exist yet. */
function everyEvent(record: TaskRecord): TaskEvent[] {
  const attempts = [record.attempt - 1, record.attempt, record.attempt + 1].filter((n) => n > 0);
  return [
    cancelRequested(record),
    retryRequested(record),
    retryRequested(record, record.life + 1),
    ...(record.life > 1 ? [retryRequested(record, record.life - 1)] : []),
    ...[0, ...attempts].map(
      (attempt): TaskEvent => ({
        type: "expired",
        tenant: record.tenant,
        taskId: record.taskId,
        at: AT,
        attempt,
        reason: "too late",
      }),
    ),
    ...attempts.flatMap((attempt): TaskEvent[] => [
      slotGranted(record, attempt),
      slotGranted(record, attempt, record.life + 1),
      sessionReady(record, attempt),
      ...CallStatus.options.map((status) => callUpdated(record, status, {}, attempt)),
      callUpdated(record, "failed", { sipCode: 404, permanent: true }, attempt),
      deadlineExceeded(record, { attempt }),
      deadlineExceeded(record, { attempt, call: { status: "busy" } }),
      ...EndedReason.options.flatMap((reason) =>
        [true, false].map((wasReady) => sessionEnded(record, { attempt, endedReason: reason, wasReady })),
      ),
      ...CallStatus.options.map((status) =>
        sessionEnded(record, { attempt, endedReason: "agent_lost", call: { status } }),
      ),
      sessionEnded(record, {
        attempt,
        endedReason: "provider_error",
        wasReady: false,
        retryable: false,
      }),
    ]),
  ];
}

const isForeign = (record: TaskRecord, event: TaskEvent): boolean => {
  if (event.type === "cancel_requested") return false;
  if (event.type === "retry_requested") return event.life !== record.life;
  if (event.type !== "slot_granted") return event.attempt !== record.attempt;
  return event.attempt !== record.attempt + 1 || event.life !== record.life;
};

/** Whether the attempt may have reached somebody, as far as anybody can tell. */
const mayHaveReached = (attempt: TaskRecord["attempts"][number] | undefined): boolean =>
  attempt !== undefined &&
  (attempt.states.some(({ state }) => state === "answered" || state === "inProgress") ||
    ["completed", "voicemail", "unknown", "canceled"].includes(attempt.state));

/** Reduces one event, and throws if a rule is broken, with the record and the event. */
function checkedStep(before: TaskRecord, event: TaskEvent, take = reduceTask): TaskRecord {
  const after = take(before, event);
  const fail = (what: string): never => {
    throw new Error(
      `${what}\nbefore: ${JSON.stringify(before)}\nevent: ${JSON.stringify(event)}\nafter: ${JSON.stringify(after)}`,
    );
  };
  if (after === before) return after;
  if (isForeign(before, event)) fail("an event of another attempt or life changed something");
  if (after.state !== before.state && !mayBecome[before.state].includes(after.state))
    fail("no such transition");
  if (isTaskEnd(before.state) && event.type !== "retry_requested") fail("an ended task changed");
  if (after.attempt < before.attempt) fail("the attempt decreased");
  const isNew = after.attempt !== before.attempt;
  if (
    isNew &&
    (after.attempt !== before.attempt + 1 || after.state !== "dialing" || before.state !== "queued")
  )
    fail("an attempt did not begin from the queue, one by one");
  const last = after.attempts.at(-1);
  if (before.state !== "queued" && after.state === "queued" && event.type !== "retry_requested") {
    if (mayHaveReached(last)) fail("an attempt is repeated that may have reached somebody");
    if (after.failures >= after.retry.maxAttempts) fail("more attempts than allowed");
    if (after.backoffMs === 0) fail("an attempt is repeated without a pause");
  }
  if (isActiveTask(after.state) && last?.state !== after.state) fail("the attempt disagrees with the task");
  if (isTaskEnd(after.state) !== (after.endedAt !== undefined))
    fail("endedAt is not set exactly for an ended task");
  if (after.state === "completed" && after.error !== undefined) fail("a completed task has an error");
  if (isTaskEnd(after.state) && after.state !== "completed" && after.error === undefined)
    fail("an end has no reason");
  if (last !== undefined && last.n !== after.attempt) fail("the newest attempt is not the last");
  if (new Set(after.attempts.map(({ sessionId }) => sessionId)).size !== after.attempts.length)
    fail("two attempts have one session");
  const shorter = before.attempts.some(
    ({ n, states }) => (after.attempts.find((one) => one.n === n)?.states.length ?? 0) < states.length,
  );
  if (shorter && after.attempts.length < 12) fail("an attempt's history was rewritten");
  // A field with the value undefined is lost on the wire, so the next reader would have another record.
  if (!isDeepStrictEqual(TaskRecord.parse(JSON.parse(JSON.stringify(after))), after))
    fail("the wire changes the record");
  if (take(after, event) !== after) fail("a repeated event changed something");
  return after;
}

/** Everything that the machine can decide by. The rest of a record is its past. */
const essence = (record: TaskRecord): string => {
  const last = record.attempts.at(-1);
  const reached = last?.states.some(({ state }) => state === "answered" || state === "inProgress");
  return [
    record.state,
    record.attempt,
    record.failures,
    record.life,
    last?.agentReady,
    last?.call?.status,
    last?.call?.sipCode,
    reached,
  ].join(" ");
};

function deepFreeze<T>(value: T): T {
  for (const part of Object.values(value as object)) {
    if (typeof part === "object" && part !== null && !Object.isFrozen(part)) deepFreeze(part);
  }
  return Object.freeze(value);
}

/** Searches breadth first. Records with the same essence have the same future, so each is continued once. */
function explore(start: TaskRecord) {
  const known = new Set([essence(start)]);
  const moves = new Set<string>();
  const errors = new Set<string>();
  let [steps, changes] = [0, 0];
  let edge = [start];
  for (let depth = 0; depth < LENGTH; depth++) {
    const next: TaskRecord[] = [];
    for (const before of edge.map(deepFreeze)) {
      for (const event of everyEvent(before)) {
        const after = checkedStep(before, event);
        steps += 1;
        if (after === before) continue;
        changes += 1;
        if (after.state !== before.state) moves.add(`${before.state} → ${after.state}`);
        for (const { error } of after.attempts) if (error !== undefined) errors.add(error.code);
        if (known.has(essence(after))) continue;
        known.add(essence(after));
        next.push(after);
      }
    }
    edge = next;
  }
  return { steps, changes, moves, errors };
}

const allMoves = (without: (from: string, to: string) => boolean): string[] =>
  Object.entries(mayBecome)
    .flatMap(([from, tos]) => tos.filter((to) => !without(from, to)).map((to) => `${from} → ${to}`))
    .sort();

describe("reduceTask", () => {
  test.each([
    ["sip", 2],
    ["vapi", 1],
  ] as [ProviderName, number][])(
    "keeps the rules for %s with %i attempts",
    (provider, maxAttempts) => {
      const retry = { maxAttempts, initialMs: 10_000, maxMs: 60_000 };
      const seen = explore(aTask("t_1", { provider, retry }));
      // An answered call never becomes busy. With one attempt, only a task without an agent is retried.
      const isNever = (from: string, to: string) =>
        (["answered", "inProgress"].includes(from) && ["busy", "noAnswer"].includes(to)) ||
        (maxAttempts === 1 && from === "ringing" && to === "queued");
      expect([...seen.moves].sort()).toEqual(allMoves(isNever));
      expect(seen.changes).toBeGreaterThan(500);
      expect(seen.steps).toBeGreaterThan(5 * seen.changes);
      for (const code of [
        "busy",
        "no_answer",
        "bad_number",
        "no_capacity",
        "unknown_outcome",
        "attempt_limit",
      ]) {
        expect(seen.errors).toContain(code);
      }
    },
    60_000,
  );

  test("keeps the rules for a session of the pool, which has no phone", () => {
    const seen = explore(aTask("t_1", { provider: "pool" }));
    expect(seen.moves).toContain("dialing → inProgress");
    expect(seen.moves).toContain("inProgress → completed");
    expect(seen.moves).toContain("inProgress → noAnswer");
    expect(seen.moves).not.toContain("inProgress → queued");
  }, 180_000);

  test("detects a result that breaks a rule", () => {
    const waiting = aTask("t_1");
    const dialing = reduceTask(waiting, slotGranted(waiting));
    const answered = reduceTask(dialing, callUpdated(dialing, "answered"));
    const ended = sessionEnded(answered, { endedReason: "agent_lost" });
    const broken: [TaskRecord, TaskEvent, TaskRecord][] = [
      [waiting, slotGranted(waiting), { ...dialing, attempt: 2 }],
      [waiting, slotGranted(waiting), { ...dialing, state: "completed" }],
      [answered, ended, { ...answered, state: "queued", backoffMs: 1 }],
      [dialing, callUpdated(dialing, "busy"), { ...dialing, state: "queued", failures: 1, backoffMs: 0 }],
      [dialing, callUpdated(dialing, "ringing", {}, 7), { ...dialing, state: "ringing" }],
      [dialing, callUpdated(dialing, "unknown"), { ...dialing, state: "unknown" }],
    ];
    for (const [before, event, after] of broken) {
      expect(() => checkedStep(before, event, () => after)).toThrow(/before: /);
    }
    expect(() => checkedStep(waiting, slotGranted(waiting))).not.toThrow();
  });
});
