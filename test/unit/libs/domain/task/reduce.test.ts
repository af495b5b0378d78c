// The life of a task: which outcomes are retried, and which never.
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

describe("a task with a phone call", () => {
  test("goes from the queue through ringing and answered to completed, and keeps every state", () => {
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

  test("is not answered when its agent is ready", () => {
    expect(become(dialing(), sessionReady).state).toBe("dialing");
  });

  test.each([
    ["busy", { sipCode: 486 }, "busy"],
    ["noAnswer", { sipCode: 480 }, "noAnswer"],
    ["failed", { sipCode: 503 }, "failed"],
  ] as const)(
    "is retried after a call that is %s, with doubled pauses (%o), and ends as %s",
    (status, more, end) => {
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
    },
  );

  test("never pauses longer than its own limit", () => {
    const retry = { maxAttempts: 3, initialMs: 50_000, maxMs: 60_000 };
    const busy = (task: ReturnType<typeof aTask>) => callUpdated(task, "busy");
    expect(become(dialing({ retry }), busy, slotGranted, busy).backoffMs).toBe(60_000);
  });

  test.each([
    [{ sipCode: 404, permanent: true }, "bad_number"],
    [{ providerReason: "assistant-not-found", permanent: true }, "call_failed"],
  ] as const)("ends at once after a permanent failure (%o)", (more, code) => {
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
    "is retried after a temporary failure (%o)",
    (more) => {
      expect(become(dialing(), (task) => callUpdated(task, "failed", more)).state).toBe("queued");
    },
  );

  test.each(["failed", "busy", "noAnswer"] as const)(
    "is never retried when an answered call is reported as %s",
    (status) => {
      const lost = become(answered(), (task) => callUpdated(task, status));
      expect([stateOf(lost), lost.error?.code]).toEqual(["failed 1", "lost_after_answer"]);
    },
  );

  test("is never retried when an answered call lost its agent", () => {
    const lost = become(answered(), (task) => sessionEnded(task, { endedReason: "agent_lost" }));
    expect([stateOf(lost), lost.error?.code]).toEqual(["failed 1", "lost_after_answer"]);
  });

  test.each(["dialing", "ringing"] as const)(
    "is unknown and never retried when its session ended while the call was %s",
    (status) => {
      const lost = become(
        dialing(),
        (task) => callUpdated(task, status),
        (task) => sessionEnded(task, { endedReason: "agent_lost", wasReady: false }),
      );
      expect([stateOf(lost), lost.error?.code]).toEqual(["unknown 1", "unknown_outcome"]);
    },
  );

  test("uses the provider's last status, which arrives with the session's end", () => {
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
    "is retried when its session ended as %s before a number was dialed",
    (reason) => {
      const next = become(dialing(), (task) => sessionEnded(task, { endedReason: reason, wasReady: false }));
      expect([stateOf(next), next.failures]).toEqual(["queued 1", 1]);
      expect(next.attempts[0]?.error?.message).toContain("nothing was dialed");
    },
  );

  test("is judged by its session's end alone when its call was intended and never dialed", () => {
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

  test("ends at once with a permanent error of the provider", () => {
    const refused = become(dialing(), (task) =>
      sessionEnded(task, { endedReason: "provider_error", retryable: false, wasReady: false }),
    );
    expect([stateOf(refused), refused.error?.code]).toEqual(["failed 1", "provider_failed"]);
  });

  test("counts no failure when no agent was found, however often", () => {
    const none = (task: ReturnType<typeof aTask>) =>
      sessionEnded(task, { endedReason: "no_capacity", wasReady: false });
    let task = aTask("t_1");
    for (let n = 1; n <= 20; n++) task = become(task, slotGranted, none);
    expect([stateOf(task), task.failures, task.backoffMs]).toEqual(["queued 20", 0, 10_000]);
    expect(task.attempts.map(({ n }) => n)).toEqual([1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  });

  test("is a voicemail when a machine answers, and lets the agent finish its message", () => {
    const ended = become(dialing(), sessionReady, (task) =>
      callUpdated(task, "voicemail", { answeredBy: "machine" }),
    );
    expect([stateOf(ended), ended.attempts[0]?.answeredBy]).toEqual(["voicemail 1", "machine"]);
    expect(commandsFor(ended)).toEqual([]);
  });

  test("ends as unknown at its time limit before an answer, and as failed after", () => {
    expect(stateOf(become(dialing(), deadlineExceeded))).toBe("unknown 1");
    const talking = become(answered(), deadlineExceeded);
    expect([stateOf(talking), talking.error?.code]).toEqual(["failed 1", "attempt_limit"]);
    const busy = become(dialing(), (task) => deadlineExceeded(task, { call: { status: "busy" } }));
    expect(stateOf(busy)).toBe("queued 1");
  });

  test("ignores a late event of an earlier state", () => {
    const task = answered();
    const late = reduceTask(task, callUpdated(task, "ringing", { providerReason: "180 Ringing" }));
    expect(late.state).toBe("inProgress");
    expect(late.attempts[0]?.call?.status).toBe("answered");
  });
});

describe("a task without a phone call", () => {
  const provider = { provider: "pool" } as const;

  test("is in progress as soon as its agent is ready", () => {
    const done = become(dialing(provider), sessionReady, (task) => sessionEnded(task));
    expect(statesOf(done)).toEqual(["dialing", "inProgress", "completed"]);
  });

  test("is noAnswer when nobody joined and failed when the agent was lost, without a retry", () => {
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

  test("is completed by its session's end, even if ready was never reported", () => {
    expect(stateOf(become(dialing(provider), (task) => sessionEnded(task)))).toBe("completed 1");
  });

  test("is canceled when somebody ended it before it was ready", () => {
    const ended = become(dialing(provider), (task) =>
      sessionEnded(task, { endedReason: "cancelled", wasReady: false }),
    );
    expect(stateOf(ended)).toBe("canceled 1");
  });
});

describe("commandsFor", () => {
  test("requests a session while the task dials, and its end once the attempt is over", () => {
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

  test("returns nothing for a session that has ended by itself", () => {
    expect(commandsFor(become(answered(), (task) => sessionEnded(task)))).toEqual([]);
  });
});

describe("reduceTask, requests of a person", () => {
  test("cancels a task that waits, and one in progress", () => {
    expect(become(aTask("t_1"), cancelRequested)).toMatchObject({ state: "canceled", attempt: 0 });
    expect(become(answered(), cancelRequested)).toMatchObject({ state: "canceled", attempt: 1 });
  });

  test("retries an ended task once, with attempts counted on", () => {
    const failed = become(dialing(), (task) => callUpdated(task, "failed", { permanent: true }));
    const revived = reduceTask(failed, retryRequested(failed));
    expect(revived).toMatchObject({ state: "queued", life: 2, failures: 0, attempt: 1 });
    expect(revived.error).toBeUndefined();
    const canceled = become(revived, cancelRequested);
    expect(reduceTask(canceled, retryRequested(failed))).toBe(canceled);
    expect(become(revived, slotGranted).attempts.map(({ n }) => n)).toEqual([1, 2]);
  });

  test("can't retry a completed task", () => {
    const done = become(answered(), (task) => sessionEnded(task));
    expect(reduceTask(done, retryRequested(done))).toBe(done);
  });
});

test("parses task and attempt from the session of an attempt only", () => {
  expect(attemptOfSession(taskSessionOf("t_a-2", 13))).toEqual({ taskId: "t_a-2", attempt: 13 });
  for (const other of ["s_abc", "s_abc-1", "t_abc", "t_abc-0", "t_abc-01", "t_a.b-1"]) {
    expect(attemptOfSession(other)).toBeUndefined();
  }
});
