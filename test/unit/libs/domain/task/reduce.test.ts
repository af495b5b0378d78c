// What becomes of an outbound task: which outcomes are repeated, and which never.
import { describe, expect, test } from "vitest";
import { commandsFor } from "../../../../../libs/domain/task/commands-for.ts";
import { reduceTask } from "../../../../../libs/domain/task/reduce.ts";
import { attemptOfSession, taskSessionOf } from "../../../../../libs/domain/task/task-ids.ts";
import { AT } from "../../../../kit/fixtures/sessions.ts";
import {
  aTask,
  become,
  callUpdated,
  cancelRequested,
  deadlineExceeded,
  retryRequested,
  sessionEnded,
  sessionReady,
  slotGranted,
} from "../../../../kit/fixtures/tasks.ts";

const dialing = (changed = {}) => become(aTask("t_1", changed), slotGranted);
const answered = (changed = {}) =>
  become(dialing(changed), sessionReady, (task) => callUpdated(task, "answered"));
const stateOf = (task: { state: string; attempt: number }) => `${task.state} ${task.attempt}`;
const statesOf = (task: ReturnType<typeof aTask>, n = 1) =>
  task.attempts.find((attempt) => attempt.n === n)?.states.map(({ state }) => state);

describe("a telephone call", () => {
  test("goes from the queue over ringing and answered to completed, and every state stays visible", () => {
    const ringing = become(dialing(), sessionReady, (task) => callUpdated(task, "ringing"));
    expect(ringing.state).toBe("ringing");
    const done = become(
      ringing,
      (task) => callUpdated(task, "answered", { answeredBy: "human", sipCode: 200 }),
      (task) => callUpdated(task, "hungUp"),
      (task) => sessionEnded(task),
    );
    expect(stateOf(done)).toBe("completed 1");
    expect(statesOf(done)).toEqual(["dialing", "ringing", "answered", "inProgress", "completed"]);
    expect(done.attempts[0]).toMatchObject({ answeredBy: "human", sipCode: 200, over: true });
    expect(done.error).toBeUndefined();
    expect(done.endedAt).toBe(AT);
  });

  test("is answered but not in progress until its agent is ready", () => {
    const waiting = become(dialing(), (task) => callUpdated(task, "answered"));
    expect(waiting.state).toBe("answered");
    expect(become(waiting, sessionReady).state).toBe("inProgress");
  });

  test("an agent that is ready is no answer", () => {
    expect(become(dialing(), sessionReady).state).toBe("dialing");
  });

  test.each([
    ["busy", { sipCode: 486 }, "busy"],
    ["noAnswer", { sipCode: 480 }, "noAnswer"],
    ["failed", { sipCode: 503 }, "failed"],
  ] as const)("that is %s is tried again after pauses that double, and ends as %s", (status, more, end) => {
    const fails = (task: ReturnType<typeof aTask>) => callUpdated(task, status, more);
    const second = become(dialing(), fails);
    expect([stateOf(second), second.backoffMs, second.failures]).toEqual(["queued 1", 10_000, 1]);
    const third = become(second, slotGranted, fails);
    expect([stateOf(third), third.backoffMs]).toEqual(["queued 2", 20_000]);
    const last = become(third, slotGranted, fails);
    expect([stateOf(last), last.backoffMs]).toEqual([`${end} 3`, 0]);
    expect(last.attempts.map(({ state }) => state)).toEqual([end, end, end]);
    expect(last.attempts.map(({ sessionId }) => sessionId)).toEqual(["t_1-1", "t_1-2", "t_1-3"]);
    expect(last.error?.message).toContain(String(more.sipCode));
  });

  test("the pause never grows past the task's own limit", () => {
    const retry = { maxAttempts: 3, initialMs: 50_000, maxMs: 60_000 };
    const busy = (task: ReturnType<typeof aTask>) => callUpdated(task, "busy");
    expect(become(dialing({ retry }), busy, slotGranted, busy).backoffMs).toBe(60_000);
  });

  test.each([
    [{ sipCode: 404, permanent: true }, "bad_number"],
    [{ providerReason: "assistant-not-found", permanent: true }, "call_failed"],
  ] as const)("that would only fail again ends at once (%o)", (more, code) => {
    const failed = { code, retryable: false };
    const ended = become(dialing(), (task) => callUpdated(task, "failed", more));
    expect(stateOf(ended)).toBe("failed 1");
    expect(ended.error).toMatchObject(failed);
    const byItsEnd = become(dialing(), (task) =>
      sessionEnded(task, { endedReason: "provider_error", call: { status: "failed", ...more } }),
    );
    expect([stateOf(byItsEnd), byItsEnd.error]).toMatchObject(["failed 1", failed]);
  });

  test.each([{ sipCode: 503 }, { providerReason: "worker-shutdown" }])(
    "that failed for a passing reason is tried again (%o)",
    (more) => {
      expect(become(dialing(), (task) => callUpdated(task, "failed", more)).state).toBe("queued");
    },
  );

  test.each(["failed", "busy", "noAnswer"] as const)(
    "that was answered and then is told to be %s is never repeated",
    (status) => {
      const lost = become(answered(), (task) => callUpdated(task, status));
      expect([stateOf(lost), lost.error?.code]).toEqual(["failed 1", "lost_after_answer"]);
    },
  );

  test("that was answered and lost its agent is never repeated", () => {
    const lost = become(answered(), (task) => sessionEnded(task, { endedReason: "agent_lost" }));
    expect([stateOf(lost), lost.error?.code]).toEqual(["failed 1", "lost_after_answer"]);
  });

  test.each(["dialing", "ringing"] as const)(
    "whose session ended while it was %s has an unknown outcome, and is never repeated",
    (status) => {
      const lost = become(
        dialing(),
        (task) => callUpdated(task, status),
        (task) => sessionEnded(task, { endedReason: "agent_lost", wasReady: false }),
      );
      expect([stateOf(lost), lost.error?.code]).toEqual(["unknown 1", "unknown_outcome"]);
    },
  );

  test("the provider's last word that comes with the session's end counts", () => {
    const end = (call: Parameters<typeof callUpdated>[1]) =>
      become(dialing(), (task) =>
        sessionEnded(task, { endedReason: "provider_error", call: { status: call } }),
      );
    expect(stateOf(end("busy"))).toBe("queued 1");
    expect(stateOf(end("unknown"))).toBe("unknown 1");
    expect(stateOf(end("dialing"))).toBe("unknown 1");
    expect(stateOf(end("hungUp"))).toBe("failed 1");
  });

  test.each(["join_timeout", "ready_timeout", "agent_lost", "agent_error", "provider_error"] as const)(
    "whose session ended as %s before anything was dialled is tried again",
    (reason) => {
      const next = become(dialing(), (task) => sessionEnded(task, { endedReason: reason, wasReady: false }));
      expect([stateOf(next), next.failures]).toEqual(["queued 1", 1]);
      expect(next.attempts[0]?.error?.message).toContain("nothing was dialed");
    },
  );

  test("that was only intended, and was never dialed, is judged by its session's end alone", () => {
    const intended = become(dialing(), sessionReady, (task) => callUpdated(task, "dialing"));
    const end = { endedReason: "provider_error", notDialed: true } as const;
    const refused = become(intended, (task) => sessionEnded(task, { ...end, retryable: false }));
    expect([stateOf(refused), refused.error?.code]).toEqual(["failed 1", "provider_failed"]);
    expect(refused.attempts[0]).not.toHaveProperty("call");
    expect(become(intended, (task) => sessionEnded(task, end)).state).toBe("queued");
    expect(
      become(intended, (task) => sessionEnded(task, { endedReason: "cancelled", ...{ notDialed: true } }))
        .state,
    ).toBe("canceled");
  });

  test("an error of the provider that would only happen again ends it at once", () => {
    const refused = become(dialing(), (task) =>
      sessionEnded(task, { endedReason: "provider_error", retryable: false, wasReady: false }),
    );
    expect([stateOf(refused), refused.error?.code]).toEqual(["failed 1", "provider_failed"]);
  });

  test("an attempt that found no agent costs no failure, however often", () => {
    const none = (task: ReturnType<typeof aTask>) =>
      sessionEnded(task, { endedReason: "no_capacity", wasReady: false });
    let task = aTask("t_1");
    for (let n = 1; n <= 20; n++) task = become(task, slotGranted, none);
    expect([stateOf(task), task.failures, task.backoffMs]).toEqual(["queued 20", 0, 10_000]);
    expect(task.attempts.map(({ n }) => n)).toEqual([1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  });

  test("a machine that takes it is a voicemail, whose agent may finish its message", () => {
    const ended = become(dialing(), sessionReady, (task) =>
      callUpdated(task, "voicemail", { answeredBy: "machine" }),
    );
    expect([stateOf(ended), ended.attempts[0]?.answeredBy]).toEqual(["voicemail 1", "machine"]);
    expect(commandsFor(ended)).toEqual([]);
  });

  test("past its limit it ends as unknown while nobody has answered, and as failed after", () => {
    expect(stateOf(become(dialing(), deadlineExceeded))).toBe("unknown 1");
    const talking = become(answered(), deadlineExceeded);
    expect([stateOf(talking), talking.error?.code]).toEqual(["failed 1", "attempt_limit"]);
    const busy = become(dialing(), (task) => deadlineExceeded(task, { call: { status: "busy" } }));
    expect(stateOf(busy)).toBe("queued 1");
  });

  test("late news of an earlier stage takes nothing back", () => {
    const task = answered();
    const late = reduceTask(task, callUpdated(task, "ringing", { providerReason: "180 Ringing" }));
    expect(late.state).toBe("inProgress");
    expect(late.attempts[0]?.call?.status).toBe("answered");
  });
});

describe("a session without a telephone", () => {
  const provider = { provider: "pool" } as const;

  test("is in progress as soon as its agent is ready", () => {
    const done = become(dialing(provider), sessionReady, (task) => sessionEnded(task));
    expect(statesOf(done)).toEqual(["dialing", "inProgress", "completed"]);
  });

  test("into which nobody came is no answer; one that lost its agent failed; neither is repeated", () => {
    const ready = become(dialing(provider), sessionReady);
    expect(stateOf(become(ready, (task) => sessionEnded(task, { endedReason: "expired" })))).toBe(
      "noAnswer 1",
    );
    expect(stateOf(become(ready, (task) => sessionEnded(task, { endedReason: "agent_lost" })))).toBe(
      "failed 1",
    );
    expect(stateOf(become(ready, (task) => sessionEnded(task, { endedReason: "max_duration" })))).toBe(
      "failed 1",
    );
  });

  test("is completed by its end alone, when nobody was told that it was ready", () => {
    expect(stateOf(become(dialing(provider), (task) => sessionEnded(task)))).toBe("completed 1");
  });

  test("that somebody ended before it was ready is canceled", () => {
    const ended = become(dialing(provider), (task) =>
      sessionEnded(task, { endedReason: "cancelled", wasReady: false }),
    );
    expect(stateOf(ended)).toBe("canceled 1");
  });
});

describe("what a record calls for", () => {
  test("is its session while it dials, and that session's end once the attempt is over", () => {
    expect(commandsFor(aTask("t_1"))).toEqual([]);
    expect(commandsFor(dialing())).toEqual([{ do: "request_session", sessionId: "t_1-1", attempt: 1 }]);
    expect(commandsFor(answered())).toEqual([]);
    expect(commandsFor(become(answered(), cancelRequested))).toEqual([
      { do: "end_session", sessionId: "t_1-1", reason: "by the API" },
    ]);
    const busy = become(dialing(), (task) => callUpdated(task, "busy"));
    expect(commandsFor(busy)).toMatchObject([{ do: "end_session", sessionId: "t_1-1" }]);
    expect(commandsFor(become(busy, slotGranted))).toMatchObject([
      { do: "request_session", sessionId: "t_1-2" },
    ]);
  });

  test("is nothing for a session that has ended by itself", () => {
    expect(commandsFor(become(answered(), (task) => sessionEnded(task)))).toEqual([]);
  });
});

describe("a person", () => {
  test("cancels a task that waits, and one under way", () => {
    expect(become(aTask("t_1"), cancelRequested)).toMatchObject({ state: "canceled", attempt: 0 });
    expect(become(answered(), cancelRequested)).toMatchObject({ state: "canceled", attempt: 1 });
  });

  test("gives an ended task another life once, in which attempts are counted on", () => {
    const failed = become(dialing(), (task) => callUpdated(task, "failed", { permanent: true }));
    const revived = reduceTask(failed, retryRequested(failed));
    expect(revived).toMatchObject({ state: "queued", life: 2, failures: 0, attempt: 1 });
    expect(revived.error).toBeUndefined();
    const canceled = become(revived, cancelRequested);
    expect(reduceTask(canceled, retryRequested(failed))).toBe(canceled);
    expect(become(revived, slotGranted).attempts.map(({ n }) => n)).toEqual([1, 2]);
  });

  test("can't repeat what was completed", () => {
    const done = become(answered(), (task) => sessionEnded(task));
    expect(reduceTask(done, retryRequested(done))).toBe(done);
  });
});

test("the session of an attempt tells its task and its number, and no other name does", () => {
  expect(attemptOfSession(taskSessionOf("t_a-2", 13))).toEqual({ taskId: "t_a-2", attempt: 13 });
  for (const other of ["s_abc", "s_abc-1", "t_abc", "t_abc-0", "t_abc-01", "t_a.b-1"]) {
    expect(attemptOfSession(other)).toBeUndefined();
  }
});
