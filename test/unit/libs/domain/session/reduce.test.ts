// The life of a session, row by row: what each input makes of a record.
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

describe("a session that was just requested", () => {
  test("waits in its first attempt, in a room of its own, with nothing that is undefined", () => {
    const record = requested();
    expect(record).toMatchObject({ state: "requested", attempt: 1, failures: 0, room: "session-s" });
    expect(record).toMatchObject({ roomIsNamed: false, recovering: false, backoffMs: 0, avoid: [] });
    expect(record.history).toEqual([{ state: "requested", at: AT, attempt: 1 }]);
    expect(JSON.parse(JSON.stringify(record))).toStrictEqual(record);
  });

  test("has the room and the longest duration that the request names", () => {
    const record = newSession(anEvent("s", { room: "mine", maxDurationMs: 5000 }), defaults);
    expect(record).toMatchObject({ room: "mine", roomIsNamed: true });
    expect(record.deadlineMs).toEqual({ ...defaults.deadlineMs, maxDuration: 5000 });
  });

  test("is given to a host in that host's present life", () => {
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

  test("that nobody could take in time ends for want of capacity, by the operator's fault", () => {
    const record = deadlineExceeded(requested(), "waiting");
    expect(record).toMatchObject({
      state: "ended",
      endedReason: "no_capacity",
      fault: "platform",
      failures: 0,
    });
  });

  test("that waited too long for a second agent ends because its first was lost", () => {
    const record = deadlineExceeded(lost(ready(dispatched())), "waiting");
    expect(record).toMatchObject({ state: "ended", endedReason: "agent_lost", recovering: false });
  });

  test("that is ended by its user was cancelled", () => {
    expect(endRequested(requested())).toMatchObject({ endedReason: "cancelled", fault: "customer" });
  });

  test("does not change by being woken", () => {
    const record = requested();
    expect(reduceSession(record, { ...address, type: "retry_requested", attempt: 1 })).toBe(record);
  });
});

describe("a session that was given to a host", () => {
  test("joins and becomes ready", () => {
    const record = ready(joined(dispatched()));
    expect(record).toMatchObject({ state: "ready", warm: "warm", identity: "agent-s-1", host: "h1" });
    expect(record.timings).toEqual({ joinMs: 80, readyMs: 80 });
    expect(record.history.map(({ state }) => state)).toEqual(["requested", "dispatched", "joined", "ready"]);
  });

  test("becomes ready when ready overtakes joined, and the late joined changes nothing", () => {
    const given = dispatched();
    const record = ready(given);
    expect(record.state).toBe("ready");
    expect(reduceSession(record, fromHost(given, { type: "joined", ...inRoom(given) }))).toBe(record);
  });

  test("goes to the standby room of a hot agent", () => {
    const given = chosen(requested(), "h1", "hot");
    const place = { room: "standby-x", identity: "agent-standby-x", warm: "hot" as const, tookMs: 5 };
    expect(reduceSession(given, fromHost(given, { type: "ready", ...place }))).toMatchObject({
      state: "ready",
      room: "standby-x",
      identity: "agent-standby-x",
      warm: "hot",
    });
  });

  test("goes on to another host when one declines, and that costs no failure", () => {
    const first = declined(dispatched());
    expect(first).toMatchObject({ state: "requested", attempt: 2, failures: 0, backoffMs: 0, avoid: ["h1"] });
    expect(first).not.toHaveProperty("host");
    expect(first).not.toHaveProperty("former");
    let record = first;
    for (const host of ["h2", "h3", "h4", "h5"]) record = declined(chosen(record, host));
    expect(record).toMatchObject({ state: "requested", attempt: 6, failures: 0 });
    expect(record.avoid).toEqual(["h1", "h2", "h3", "h4", "h5"]);
  });

  test("leaves an agent to put out when a host is gone that may have started one", () => {
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

  test("whose room could not be made waits, loses no attempt and holds nothing against the host", () => {
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

  test("is tried again after 200, then 400 ms when its host doesn't answer, and not with the same host", () => {
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

  test("ends with its third failure, and says why in the history", () => {
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

  test("ends at once with a failure that would only happen again", () => {
    expect(unanswered(dispatched(), false)).toMatchObject({ state: "ended", failures: 1 });
    expect(failed(dispatched(), false)).toMatchObject({
      state: "ended",
      endedReason: "agent_error",
      fault: "agent",
    });
  });

  test("is tried again when it doesn't join in time, and ends with join_timeout the third time", () => {
    const second = deadlineExceeded(dispatched(), "join");
    expect(second).toMatchObject({ state: "requested", attempt: 2, failures: 1, backoffMs: 200 });
    const third = deadlineExceeded(chosen(second), "join");
    expect(deadlineExceeded(chosen(third), "join")).toMatchObject({
      endedReason: "join_timeout",
      fault: "platform",
    });
  });

  test("was cancelled when the user ends it or leaves before the agent is ready", () => {
    expect(endRequested(dispatched())).toMatchObject({ endedReason: "cancelled", fault: "customer" });
    const inTheRoom = joined(dispatched());
    expect(reduceSession(inTheRoom, fromHost(inTheRoom, { type: "user_left" }))).toMatchObject({
      endedReason: "cancelled",
    });
  });

  test("is completed when its agent ends by itself without an error", () => {
    const given = dispatched();
    const said = fromHost(given, { type: "agent_ended", reason: "it hung up", retryable: true });
    expect(reduceSession(given, said)).toMatchObject({
      state: "ended",
      endedReason: "completed",
      fault: "none",
    });
  });
});

describe("a session whose agent comes with the answer of a telephone", () => {
  test.each([dispatched(), joined(dispatched())])("expires when nobody answers it ($state)", (record) => {
    expect(deadlineExceeded(record, "user_absent")).toMatchObject({
      state: "ended",
      endedReason: "expired",
      fault: "customer",
      attempt: 1,
      failures: 0,
    });
  });
});

describe("a session whose agent is in the room", () => {
  test("is tried again when it doesn't get ready in time, and ends with ready_timeout the third time", () => {
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

  test("changes nothing at the deadline of a state that it has left", () => {
    const record = joined(dispatched());
    const late = { ...address, type: "deadline_exceeded", attempt: 1, waitedMs: 1, reason: "late" } as const;
    expect(reduceSession(record, { ...late, state: "dispatched", kind: "join" })).toBe(record);
    expect(reduceSession(record, { ...late, state: "ready", kind: "idle" })).toBe(record);
  });

  test("gives up the standby room of a hot agent that was lost before anybody was told of it", () => {
    const given = chosen(requested(), "h1", "hot");
    const place = { room: "standby-x", identity: "i", warm: "hot" as const, tookMs: 5 };
    const record = lost(reduceSession(given, fromHost(given, { type: "joined", ...place })));
    expect(record).toMatchObject({ state: "requested", room: "session-s", recovering: false });
    expect(record.previous).toMatchObject({ room: "standby-x", identity: "i" });
  });
});

describe("a session in conversation", () => {
  test("that loses its agent goes on in the same room, without a pause", () => {
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
    for (const field of ["host", "hostEpoch", "asked", "warm", "identity"])
      expect(record).not.toHaveProperty(field);
  });

  test("keeps the standby room that its user is in, through every further loss", () => {
    const given = chosen(requested(), "h1", "hot");
    const place = { room: "standby-x", identity: "i", warm: "hot" as const, tookMs: 5 };
    const first = lost(reduceSession(given, fromHost(given, { type: "ready", ...place })));
    expect(first.room).toBe("standby-x");
    const second = lost(chosen(first, "h2"));
    expect(second).toMatchObject({ room: "standby-x", recovering: true, attempt: 3 });
  });

  test("has recovered when the next agent is ready, and remembers no former one", () => {
    const record = ready(chosen(lost(ready(dispatched())), "h2"));
    expect(record).toMatchObject({ state: "ready", attempt: 2, host: "h2", recovering: false, avoid: [] });
    expect(record).not.toHaveProperty("former");
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

  test("gets another agent when its agent's code fails, and ends when that is not worth it", () => {
    expect(failed(ready(dispatched()))).toMatchObject({ state: "requested", recovering: true, backoffMs: 0 });
    const record = failed(ready(dispatched()), false);
    expect(record).toMatchObject({ state: "ended", endedReason: "agent_error", fault: "agent" });
    expect(record.history.at(-1)?.reason).toBe("no such voice");
  });

  test("is completed when the user ends it or leaves, also while another agent is sought", () => {
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
  ] as const)("that is overdue by %s ends with %s", (kind, endedReason, fault) => {
    expect(deadlineExceeded(ready(dispatched()), kind)).toMatchObject({
      state: "ended",
      endedReason,
      fault,
      failures: 0,
    });
  });

  test("ignores a second ready, and its room and identity stay", () => {
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

describe("what is old or foreign", () => {
  test("a session in its second attempt ignores all that the first one says", () => {
    const first = dispatched();
    const second = chosen(unanswered(first), "h1");
    expect(second.attempt).toBe(2);
    for (const said of [
      fromHost(first, { type: "joined", ...inRoom(first) }),
      fromHost(first, { type: "ready", ...inRoom(first) }),
      fromHost(first, { type: "user_left" }),
      fromHost(first, { type: "agent_ended", reason: "x", retryable: true }),
      { ...address, type: "agent_lost", attempt: 1, reason: "x" } as const,
    ]) {
      expect(reduceSession(second, said)).toBe(second);
    }
  });

  test("a loss that was seen on the way changes nothing once the agent is there", () => {
    const onItsWay = dispatched();
    const lost = { ...address, type: "agent_lost", attempt: 1, state: "dispatched", reason: "x" } as const;
    expect(reduceSession(onItsWay, lost)).toMatchObject({ state: "requested", attempt: 2 });
    const there = reduceSession(onItsWay, fromHost(onItsWay, { type: "joined", ...inRoom(onItsWay) }));
    expect(reduceSession(there, lost)).toBe(there);
    const ready = reduceSession(there, fromHost(there, { type: "ready", ...inRoom(there) }));
    expect(reduceSession(ready, lost)).toBe(ready);
    const { state: _, ...known } = lost;
    expect(reduceSession(ready, known)).toMatchObject({ state: "requested", attempt: 2 });
    expect(sessionEvents.idOf(lost)).not.toBe(sessionEvents.idOf(known));
  });

  test("a host in another life, or another host, can't make a session ready", () => {
    const given = dispatched();
    const said = fromHost(given, { type: "ready", ...inRoom(given) });
    expect(reduceSession(given, { ...said, epoch: 8 } as SessionInput)).toBe(given);
    expect(reduceSession(given, { ...said, host: "h2" } as SessionInput)).toBe(given);
  });

  test("an ended session stays as it is, whatever comes", () => {
    const given = dispatched();
    const record = endRequested(given);
    for (const change of [ready, joined, lost, endRequested, failed, declined, unanswered, chosen]) {
      expect(change(record)).toBe(record);
    }
    expect(deadlineExceeded(record, "idle")).toBe(record);
    expect(reduceSession(record, fromHost(given, { type: "ready", ...inRoom(given) }))).toBe(record);
  });
});
