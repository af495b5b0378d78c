// The life of a session, row by row: the effect of each input on a record.
import { describe, expect, test } from "vitest";
import { sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { newSession, reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import type { SessionInput } from "../../../../../libs/domain/session/transitions.ts";
import {
  address,
  chosen,
  deadlineExceeded,
  declined,
  dispatched,
  endRequested,
  failed,
  fromHost,
  inRoom,
  joined,
  lost,
  ready,
  requested,
  unanswered,
} from "../../../../kit/fixtures/session-moves.ts";
import { AT, anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";

describe("a requested session", () => {
  test("waits in its first attempt, in its own room, without undefined fields", () => {
    const record = requested();
    expect(record).toMatchObject({ state: "requested", attempt: 1, failures: 0, room: "session-s" });
    expect(record).toMatchObject({ roomIsNamed: false, recovering: false, backoffMs: 0, avoid: [] });
    expect(record.history).toEqual([{ state: "requested", at: AT, attempt: 1 }]);
    expect(JSON.parse(JSON.stringify(record))).toStrictEqual(record);
  });

  test("has the room and the maximum duration of the request", () => {
    const record = newSession(anEvent("s", { room: "mine", maxDurationMs: 5000 }), defaults);
    expect(record).toMatchObject({ room: "mine", roomIsNamed: true });
    expect(record.deadlineMs).toEqual({ ...defaults.deadlineMs, maxDuration: 5000 });
  });

  test("is dispatched to a host with the host's epoch", () => {
    const record = dispatched();
    expect(record).toMatchObject({
      state: "dispatched",
      host: "h1",
      hostEpoch: 7,
      requestedWarmth: "warm",
      attempt: 1,
    });
    expect(record.history.at(-1)).toEqual({ state: "dispatched", at: AT, attempt: 1, host: "h1" });
  });

  test("ends with no_capacity, the platform's fault, when it waited too long", () => {
    const record = deadlineExceeded(requested(), "waiting");
    expect(record).toMatchObject({
      state: "ended",
      endedReason: "no_capacity",
      fault: "platform",
      failures: 0,
    });
  });

  test("ends with agent_lost when it waited too long for a second agent", () => {
    const record = deadlineExceeded(lost(ready(dispatched())), "waiting");
    expect(record).toMatchObject({ state: "ended", endedReason: "agent_lost", recovering: false });
  });

  test("is cancelled when its user ends it", () => {
    expect(endRequested(requested())).toMatchObject({ endedReason: "cancelled", fault: "customer" });
  });

  test("ignores retry_requested", () => {
    const record = requested();
    expect(reduceSession(record, { ...address, type: "retry_requested", attempt: 1 })).toBe(record);
  });
});

describe("a dispatched session", () => {
  test("is joined and then ready", () => {
    const record = ready(joined(dispatched()));
    expect(record).toMatchObject({ state: "ready", warm: "warm", identity: "agent-s-1", host: "h1" });
    expect(record.timings).toEqual({ joinMs: 80, readyMs: 80 });
    expect(record.history.map(({ state }) => state)).toEqual(["requested", "dispatched", "joined", "ready"]);
  });

  test("is ready even if ready overtakes joined, and ignores the late joined", () => {
    const before = dispatched();
    const record = ready(before);
    expect(record.state).toBe("ready");
    expect(reduceSession(record, fromHost(before, { type: "joined", ...inRoom(before) }))).toBe(record);
  });

  test("moves to the standby room of a hot agent", () => {
    const record = chosen(requested(), "h1", "hot");
    const hotRoom = { room: "standby-x", identity: "agent-standby-x", warm: "hot" as const, tookMs: 5 };
    expect(reduceSession(record, fromHost(record, { type: "ready", ...hotRoom }))).toMatchObject({
      state: "ready",
      room: "standby-x",
      identity: "agent-standby-x",
      warm: "hot",
    });
  });

  test("goes to another host when one declines, without a failure", () => {
    const first = declined(dispatched());
    expect(first).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 0, avoid: ["h1"] });
    expect(first).not.toHaveProperty("host");
    expect(first).not.toHaveProperty("previous");
    let record = first;
    for (const host of ["h2", "h3", "h4", "h5"]) record = declined(chosen(record, host));
    expect(record).toMatchObject({ state: "requested", attempt: 6, failures: 0 });
    expect(record.avoid).toEqual(["h1", "h2", "h3", "h4", "h5"]);
  });

  test("remembers an agent to remove when a host that may have started one is gone", () => {
    const before = dispatched();
    const host = before.host ?? "";
    const gone = {
      type: "declined",
      attempt: 1,
      host,
      reason: "gone",
      at: AT,
      mayHaveStarted: true,
    } as const;
    expect(reduceSession(before, gone)).toMatchObject({
      failures: 0,
      previous: { attempt: 1, host, identity: "agent-s-1" },
    });
  });

  test("waits without a failure when its room could not be created, and does not avoid the host", () => {
    const before = dispatched();
    const host = before.host ?? "";
    const after = reduceSession(before, {
      type: "declined",
      attempt: 1,
      host,
      reason: "no LiveKit",
      at: AT,
      pauseMs: 2000,
    });
    expect(after).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 2000, avoid: [] });
  });

  test("is retried after 200, then 400 ms on another host when its host doesn't answer", () => {
    const first = unanswered(dispatched());
    expect(first).toMatchObject({
      state: "requested",
      attempt: 2,
      failures: 1,
      backoffMs: 200,
      avoid: ["h1"],
    });
    expect(first.previous).toMatchObject({ attempt: 1, host: "h1", hostEpoch: 7, identity: "agent-s-1" });
    const second = unanswered(chosen(first, "h2"));
    expect(second).toMatchObject({ attempt: 3, failures: 2, backoffMs: 400, avoid: ["h2"] });
    expect(second.recovering).toBe(false);
  });

  test("ends with its third failure, with the reason in its history", () => {
    const third = unanswered(chosen(unanswered(chosen(unanswered(dispatched()), "h2")), "h3"));
    expect(third).toMatchObject({
      state: "ended",
      endedReason: "join_timeout",
      fault: "platform",
      failures: 3,
    });
    expect(third.history.at(-1)).toMatchObject({
      state: "ended",
      reason: "no answer within 2000 ms",
      host: "h3",
    });
  });

  test("ends at once with a permanent failure", () => {
    expect(unanswered(dispatched(), false)).toMatchObject({ state: "ended", failures: 1 });
    expect(failed(dispatched(), false)).toMatchObject({
      state: "ended",
      endedReason: "agent_error",
      fault: "agent",
    });
  });

  test("is retried when the agent doesn't join in time, and ends with join_timeout the third time", () => {
    const second = deadlineExceeded(dispatched(), "join");
    expect(second).toMatchObject({ state: "requested", attempt: 2, failures: 1, backoffMs: 200 });
    const third = deadlineExceeded(chosen(second), "join");
    expect(deadlineExceeded(chosen(third), "join")).toMatchObject({
      endedReason: "join_timeout",
      fault: "platform",
    });
  });

  test("is cancelled when the user ends it or leaves before the agent is ready", () => {
    expect(endRequested(dispatched())).toMatchObject({ endedReason: "cancelled", fault: "customer" });
    const inTheRoom = joined(dispatched());
    expect(reduceSession(inTheRoom, fromHost(inTheRoom, { type: "user_left" }))).toMatchObject({
      endedReason: "cancelled",
    });
  });

  test("is completed when its agent ends without an error", () => {
    const record = dispatched();
    const event = fromHost(record, { type: "agent_ended", reason: "it hung up", retryable: true });
    expect(reduceSession(record, event)).toMatchObject({
      state: "ended",
      endedReason: "completed",
      fault: "none",
    });
  });
});

describe("a session that waits for the answer of a phone call", () => {
  test.each([dispatched(), joined(dispatched())])("expires when nobody answers ($state)", (record) => {
    expect(deadlineExceeded(record, "user_absent")).toMatchObject({
      state: "ended",
      endedReason: "expired",
      fault: "customer",
      attempt: 1,
      failures: 0,
    });
  });
});

describe("a joined session", () => {
  test("is retried when the agent isn't ready in time, and ends with ready_timeout the third time", () => {
    const second = deadlineExceeded(joined(dispatched()), "ready");
    expect(second).toMatchObject({ state: "requested", attempt: 2, failures: 1, recovering: false });
    const third = deadlineExceeded(joined(chosen(second)), "ready");
    expect(deadlineExceeded(joined(chosen(third)), "ready")).toMatchObject({
      state: "ended",
      endedReason: "ready_timeout",
      fault: "agent",
      failures: 3,
    });
  });

  test("ignores a deadline of a state that it has left", () => {
    const record = joined(dispatched());
    const late = { ...address, type: "deadline_exceeded", attempt: 1, waitedMs: 1, reason: "late" } as const;
    expect(reduceSession(record, { ...late, state: "dispatched", kind: "join" })).toBe(record);
    expect(reduceSession(record, { ...late, state: "ready", kind: "idle" })).toBe(record);
  });

  test("gives up the standby room of a hot agent that was lost before ready", () => {
    const before = chosen(requested(), "h1", "hot");
    const hotRoom = { room: "standby-x", identity: "i", warm: "hot" as const, tookMs: 5 };
    const record = lost(reduceSession(before, fromHost(before, { type: "joined", ...hotRoom })));
    expect(record).toMatchObject({ state: "requested", room: "session-s", recovering: false });
    expect(record.previous).toMatchObject({ room: "standby-x", identity: "i" });
  });
});

describe("a ready session", () => {
  test("has an agent that awaits its user until that agent starts", () => {
    const before = dispatched();
    const isReady = { type: "ready", ...inRoom(before), awaitingUser: true } as const;
    const record = reduceSession(before, fromHost(before, isReady));
    const started = reduceSession(record, fromHost(record, { type: "agent_started" }));
    expect(started).toMatchObject({ state: "ready", history: record.history });
    expect(started).not.toHaveProperty("awaitingUser");
    expect(reduceSession(started, fromHost(started, { type: "agent_started" }))).toBe(started);
    expect(lost(record)).not.toHaveProperty("awaitingUser");
  });

  test("goes on in the same room without a pause when its agent is lost", () => {
    const record = lost(ready(dispatched()));
    expect(record).toMatchObject({
      state: "requested",
      attempt: 2,
      failures: 1,
      recovering: true,
      backoffMs: 0,
    });
    expect(record.room).toBe("session-s");
    expect(record.previous).toEqual({
      attempt: 1,
      host: "h1",
      hostEpoch: 7,
      room: "session-s",
      identity: "agent-s-1",
    });
    for (const field of ["host", "hostEpoch", "requestedWarmth", "warm", "identity"])
      expect(record).not.toHaveProperty(field);
  });

  test("keeps the standby room, which its user is in, through further losses", () => {
    const record = chosen(requested(), "h1", "hot");
    const hotRoom = { room: "standby-x", identity: "i", warm: "hot" as const, tookMs: 5 };
    const first = lost(reduceSession(record, fromHost(record, { type: "ready", ...hotRoom })));
    expect(first.room).toBe("standby-x");
    const second = lost(chosen(first, "h2"));
    expect(second).toMatchObject({ room: "standby-x", recovering: true, attempt: 3 });
  });

  test("has recovered when the next agent is ready, and no longer has a previous attempt", () => {
    const record = ready(chosen(lost(ready(dispatched())), "h2"));
    expect(record).toMatchObject({ state: "ready", attempt: 2, host: "h2", recovering: false, avoid: [] });
    expect(record).not.toHaveProperty("previous");
    expect(record.failures).toBe(1);
  });

  test("ends when its agent is lost for the third time", () => {
    let record = ready(dispatched());
    for (const host of ["h2", "h3"]) record = ready(chosen(lost(record), host));
    expect(lost(record)).toMatchObject({
      state: "ended",
      endedReason: "agent_lost",
      fault: "platform",
      failures: 3,
    });
  });

  test("gets another agent when the agent's code fails, and ends when the failure is permanent", () => {
    expect(failed(ready(dispatched()))).toMatchObject({ state: "requested", recovering: true, backoffMs: 0 });
    const record = failed(ready(dispatched()), false);
    expect(record).toMatchObject({ state: "ended", endedReason: "agent_error", fault: "agent" });
    expect(record.history.at(-1)?.reason).toBe("no such voice");
  });

  test("is completed when the user ends it or leaves, also during a failover", () => {
    const record = ready(dispatched());
    expect(endRequested(record)).toMatchObject({ endedReason: "completed", fault: "none" });
    expect(reduceSession(record, fromHost(record, { type: "user_left" }))).toMatchObject({
      endedReason: "completed",
    });
    expect(endRequested(lost(record))).toMatchObject({ endedReason: "completed", recovering: false });
    expect(endRequested(chosen(lost(record)))).toMatchObject({ endedReason: "completed" });
  });

  test.each([
    ["max_duration", "max_duration", "none"],
    ["idle", "idle", "customer"],
    ["user_absent", "expired", "customer"],
  ] as const)("ends after the deadline %s with %s", (kind, endedReason, fault) => {
    expect(deadlineExceeded(ready(dispatched()), kind)).toMatchObject({
      state: "ended",
      endedReason,
      fault,
      failures: 0,
    });
  });

  test("ignores a second ready, and keeps its room and identity", () => {
    const record = ready(dispatched());
    const again = fromHost(record, {
      type: "ready",
      ...inRoom(record),
      room: "elsewhere",
      identity: "zombie",
    });
    expect(reduceSession(record, again)).toBe(record);
  });
});

describe("reduceSession, stale inputs", () => {
  test("ignores all events of the first attempt in the second", () => {
    const first = dispatched();
    const second = chosen(unanswered(first), "h1");
    expect(second.attempt).toBe(2);
    for (const event of [
      fromHost(first, { type: "joined", ...inRoom(first) }),
      fromHost(first, { type: "ready", ...inRoom(first) }),
      fromHost(first, { type: "user_left" }),
      fromHost(first, { type: "agent_ended", reason: "x", retryable: true }),
      { ...address, type: "agent_lost", attempt: 1, reason: "x" } as const,
    ]) {
      expect(reduceSession(second, event)).toBe(second);
    }
  });

  test("ignores a loss on the way once the agent has joined", () => {
    const before = dispatched();
    const lost = { ...address, type: "agent_lost", attempt: 1, state: "dispatched", reason: "x" } as const;
    expect(reduceSession(before, lost)).toMatchObject({ state: "requested", attempt: 2 });
    const arrived = reduceSession(before, fromHost(before, { type: "joined", ...inRoom(before) }));
    expect(reduceSession(arrived, lost)).toBe(arrived);
    const ready = reduceSession(arrived, fromHost(arrived, { type: "ready", ...inRoom(arrived) }));
    expect(reduceSession(ready, lost)).toBe(ready);
    const { state: _, ...known } = lost;
    expect(reduceSession(ready, known)).toMatchObject({ state: "requested", attempt: 2 });
    expect(sessionEvents.idOf(lost)).not.toBe(sessionEvents.idOf(known));
  });

  test("ignores ready from another epoch or another host", () => {
    const record = dispatched();
    const event = fromHost(record, { type: "ready", ...inRoom(record) });
    expect(reduceSession(record, { ...event, epoch: 8 } as SessionInput)).toBe(record);
    expect(reduceSession(record, { ...event, host: "h2" } as SessionInput)).toBe(record);
  });

  test("ignores every input after the end", () => {
    const before = dispatched();
    const record = endRequested(before);
    for (const change of [ready, joined, lost, endRequested, failed, declined, unanswered, chosen]) {
      expect(change(record)).toBe(record);
    }
    expect(deadlineExceeded(record, "idle")).toBe(record);
    expect(reduceSession(record, fromHost(before, { type: "ready", ...inRoom(before) }))).toBe(record);
  });
});
