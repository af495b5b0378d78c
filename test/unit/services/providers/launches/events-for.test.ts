// What a look at a launch calls for: each finding, in each state of the session, said once and said again.
import { describe, expect, test } from "vitest";
import { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import { SessionEvent, type SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import type { Observation } from "../../../../../services/providers/drivers/driver.ts";
import {
  type Decision,
  eventsFor,
  firstMemory,
  type Look,
  type Memory,
  nextLookInMs,
  pauseBefore,
} from "../../../../../services/providers/launches/events-for.ts";
import { leftInOrder } from "../../../../../services/providers/providers.ts";
import { AT, aSession } from "../../../../kit/fixtures/sessions.ts";

const limits = { dispatchTimeoutMs: 4000, userLeftMs: 3000 };

const aLaunch = (changed: Partial<LaunchRecord> = {}): LaunchRecord => ({
  v: 1,
  tenant: "t",
  sessionId: "s",
  attempt: 1,
  provider: "livekit",
  profile: "support",
  room: "session-s",
  state: "launched",
  by: "providers-1",
  takeovers: 0,
  externalId: "AD_1",
  at: AT,
  writeId: "op",
  ...changed,
});

const aRecord = (state: SessionRecord["state"], changed: Partial<SessionRecord> = {}) =>
  aSession("s", { state, provider: "livekit", host: "provider-livekit", hostEpoch: 1, ...changed });

/** Looks one after the other, each `everyMs` after the one before, on one memory. */
function looks(observations: Observation[], of: Partial<Look> & { everyMs?: number } = {}): Decision[] {
  const { everyMs = 1000, ...changed } = of;
  let memory: Memory = changed.memory ?? firstMemory(0);
  let launch = changed.launch ?? aLaunch();
  return observations.map((observation, index) => {
    const decision = eventsFor({
      record: aRecord("dispatched"),
      limits,
      at: AT,
      ...changed,
      launch,
      observation,
      memory,
      nowMs: index * everyMs,
    });
    ({ memory, launch } = decision);
    for (const event of decision.events) SessionEvent.parse(event);
    LaunchRecord.parse(launch);
    return decision;
  });
}

const saysOf = (decision: Decision | undefined): string[] => decision?.events.map(({ type }) => type) ?? [];
const last = (decisions: Decision[]): Decision | undefined => decisions.at(-1);

describe("an agent that arrives", () => {
  test("is said to have joined and to be ready, both at once when it was quick", () => {
    const [decision] = looks([{ is: "ready", identity: "agent-AJ_1", users: 0 }]);
    expect(saysOf(decision)).toEqual(["joined", "ready"]);
    expect(decision?.launch).toMatchObject({ state: "ready", identity: "agent-AJ_1" });
    expect(decision?.events[1]).toMatchObject({
      room: "session-s",
      identity: "agent-AJ_1",
      warm: "cold",
      host: "provider-livekit",
      epoch: 1,
      attempt: 1,
    });
  });

  test("is said again as long as the session's record hasn't followed, and no longer", () => {
    const ready: Observation = { is: "ready" };
    const launch = aLaunch({ state: "ready" });
    expect(saysOf(last(looks([ready], { launch, record: aRecord("dispatched") })))).toEqual([
      "joined",
      "ready",
    ]);
    expect(saysOf(last(looks([ready], { launch, record: aRecord("joined") })))).toEqual(["ready"]);
    expect(saysOf(last(looks([ready], { launch, record: aRecord("ready") })))).toEqual([]);
  });

  test("that has joined and not said that it is ready is not ready", () => {
    expect(saysOf(last(looks([{ is: "joined" }, { is: "joined" }], { record: aRecord("joined") })))).toEqual(
      [],
    );
  });

  test("never goes back in its launch, and one that nothing changed stays the very same object", () => {
    const launch = aLaunch({ state: "ready", identity: "a" });
    const [decision] = looks([{ is: "joined", identity: "a", externalId: "AD_1" }], {
      launch,
      record: aRecord("ready"),
    });
    expect(decision?.launch).toBe(launch);
  });
});

describe("an agent that is gone", () => {
  const gone: Observation = { is: "launched" };
  const launch = aLaunch({ state: "ready", identity: "agent-AJ_1" });
  const record = aRecord("ready");

  test("is lost at the second look, not at the first: a client that reconnects is back by then", () => {
    const decisions = looks([gone, gone], { launch, record });
    expect(decisions.map(saysOf)).toEqual([[], ["agent_lost"]]);
    expect(decisions[1]?.events[0]).toMatchObject({
      reason: "the agent agent-AJ_1 is not in room session-s any more",
    });
    expect(decisions[1]?.events[0]).not.toHaveProperty("state");
  });

  test("is not lost by two looks that were all but one", () => {
    expect(looks([gone, gone, gone], { launch, record, everyMs: 150 }).map(saysOf)).toEqual([[], [], []]);
    expect(saysOf(last(looks([gone, gone, gone, gone], { launch, record, everyMs: 150 })))).toEqual([
      "agent_lost",
    ]);
  });

  test("and is back is not lost, and must be gone twice anew", () => {
    const back: Observation = { is: "ready", users: 1 };
    expect(looks([gone, back, gone, back], { launch, record }).map(saysOf)).toEqual([[], [], [], []]);
  });

  test("on its way is not missed", () => {
    expect(looks([gone, gone, gone]).map(saysOf)).toEqual([[], [], []]);
  });

  test("by the record of the session alone is gone too, when the launch never saw it", () => {
    expect(saysOf(last(looks([gone, gone], { record })))).toEqual(["agent_lost"]);
  });

  test("with all that was asked for is lost on its way, which an arrival overtakes", () => {
    const absent: Observation = { is: "absent", reason: "LiveKit has no room session-s" };
    const decision = last(looks([absent, absent]));
    expect(decision?.events[0]).toMatchObject({
      type: "agent_lost",
      state: "dispatched",
      reason: "LiveKit has no room session-s",
    });
  });

  test("by its own doing has ended, and no other is wanted", () => {
    const memory: Memory = {
      ...firstMemory(0),
      leftInOrder: { reason: "the agent left the room by itself", atMs: 0 },
    };
    const [decision] = looks([gone], { launch, record, memory });
    expect(decision?.events[0]).toMatchObject({
      type: "agent_ended",
      reason: "the agent left the room by itself",
      retryable: false,
    });
    expect(decision?.events[0]).not.toHaveProperty("error");
  });

  test("is not believed of a hint alone while it is in the room", () => {
    const memory: Memory = {
      ...firstMemory(0),
      leftInOrder: { reason: "the agent left the room by itself", atMs: 0 },
    };
    expect(saysOf(last(looks([{ is: "ready", users: 1 }], { launch, record, memory })))).toEqual([]);
  });

  test("long after a hint that its room was closed is lost: that was the room's former life", () => {
    const memory: Memory = { ...firstMemory(0), leftInOrder: { reason: "its room was closed", atMs: 0 } };
    const here: Observation = { is: "ready", users: 1 };
    const decisions = looks([here, here, here, gone, gone], { launch, record, memory, everyMs: 2000 });
    expect(saysOf(last(decisions))).toEqual(["agent_lost"]);
    const soon = looks([here, gone], { launch, record, memory, everyMs: 2000 });
    expect(saysOf(last(soon))).toEqual(["agent_ended"]);
  });

  test("though it is listed, is lost when it answers nothing for longer", () => {
    const silent: Observation = { is: "ready", identity: "agent-AJ_1", isSilent: true };
    const decisions = looks([silent, silent, silent], { launch, record });
    expect(decisions.map(saysOf)).toEqual([[], [], ["agent_lost"]]);
    expect(decisions[2]?.events[0]).toMatchObject({
      reason: "the agent agent-AJ_1 is listed in room session-s and answers nothing",
    });
  });
});

describe("what nobody takes", () => {
  const untaken: Observation = { is: "untaken", reason: "no worker took the job" };

  test("is waited for, and then given back with a pause that grows with the attempts", () => {
    const decisions = looks([untaken, untaken, untaken, untaken, untaken]);
    expect(decisions.map(saysOf)).toEqual([[], [], [], [], ["provider_declined"]]);
    expect(decisions[4]?.events[0]).toMatchObject({
      reason: "no worker took the job for 4.0 s",
      pauseMs: 500,
    });
    expect([2, 3, 4, 5, 6, 7, 50].map(pauseBefore)).toEqual([500, 1000, 2000, 4000, 5000, 5000, 5000]);
  });

  test("is no longer counted once somebody took it", () => {
    const decisions = looks([untaken, untaken, untaken, { is: "launched" }, untaken, untaken]);
    expect(decisions.map(saysOf)).toEqual([[], [], [], [], [], []]);
  });
});

describe("its end by the provider's word", () => {
  test("is said with the error, whose fault it was, and whether to try again", () => {
    const failed: Observation = { is: "ended", reason: "job failed", error: "boom", cause: "provider" };
    const [decision] = looks([failed], { record: aRecord("ready") });
    expect(decision?.events).toEqual([
      expect.objectContaining({
        type: "agent_ended",
        error: "boom",
        cause: "provider",
        retryable: true,
      }),
    ]);
  });
});

describe("users", () => {
  const launch = aLaunch({ state: "ready" });
  const here: Observation = { is: "ready", users: 1 };
  const away: Observation = { is: "ready", users: 0 };
  const unknown: Observation = { is: "ready" };
  const record = aRecord("ready", { deadlineMs: { ...aSession("s").deadlineMs, userAbsent: 2000 } });

  test("who left end the session after the grace, not before", () => {
    const decisions = looks([here, away, away, away, away], { launch, record });
    expect(decisions.map(saysOf)).toEqual([[], [], [], [], ["user_left"]]);
  });

  test("who come back within it go on", () => {
    const decisions = looks([here, away, away, here, away, away], { launch, record });
    expect(decisions.map(saysOf)).toEqual([[], [], [], [], [], []]);
  });

  test("of whom a look can't tell are neither gone nor back", () => {
    const decisions = looks([here, away, unknown, unknown, away], { launch, record });
    expect(decisions.map(saysOf)).toEqual([[], [], [], [], ["user_left"]]);
    expect(looks([here, unknown, unknown, unknown, unknown], { launch, record }).flatMap(saysOf)).toEqual([]);
  });

  test("who never came are overdue by the session's own limit", () => {
    const decisions = looks([away, away, away], { launch, record });
    expect(decisions.map(saysOf)).toEqual([[], [], ["deadline_exceeded"]]);
    expect(decisions[2]?.events[0]).toMatchObject({ kind: "user_absent", state: "ready", waitedMs: 2000 });
  });

  test("are not waited for before the agent is ready", () => {
    expect(looks([away, away, away, away], { launch, record: aRecord("joined") }).map(saysOf)).toEqual([
      ["ready"],
      ["ready"],
      ["ready"],
      ["ready"],
    ]);
  });
});

test("a launch is looked at fast while it starts, soon when something is amiss, and slowly else", () => {
  const memory = firstMemory(0);
  expect(nextLookInMs({ record: aRecord("dispatched"), memory }, 1000, 3000)).toBe(150);
  expect(nextLookInMs({ record: aRecord("joined"), memory }, 20_000, 3000)).toBe(500);
  expect(nextLookInMs({ record: aRecord("ready"), memory }, 20_000, 3000)).toBe(3000);
  const missing = { ...memory, missing: { sinceMs: 0, looks: 1 } };
  expect(nextLookInMs({ record: aRecord("ready"), memory: missing }, 20_000, 3000)).toBe(400);
});

test("only a client's own leaving and the end of a room are ends in order", () => {
  expect(leftInOrder("participant_left", "CLIENT_INITIATED")).toBe("the agent left the room by itself");
  expect(leftInOrder("room_finished", undefined)).toBe("its room was closed");
  for (const reason of [undefined, "SIGNAL_CLOSE", "PARTICIPANT_REMOVED", "CONNECTION_TIMEOUT"])
    expect(leftInOrder("participant_left", reason), String(reason)).toBeUndefined();
  expect(leftInOrder("participant_joined", "CLIENT_INITIATED")).toBeUndefined();
});
