// The events for each observation of a launch, in each state of its session, at first and repeated.
import { describe, expect, test } from "vitest";
import { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import { SessionEvent, type SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import type { Observation } from "../../../../../services/providers/drivers/driver.ts";
import {
  type Decision,
  eventsFor,
  firstMemory,
  LATE_REASON,
  type Look,
  type Memory,
  memoryAfterEvent,
  nextLookInMs,
  pauseBefore,
} from "../../../../../services/providers/launches/events-for.ts";
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

/** Evaluates observations one after the other, `everyMs` apart, with one memory. */
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

const typesOf = (decision: Decision | undefined): string[] => decision?.events.map(({ type }) => type) ?? [];
const last = (decisions: Decision[]): Decision | undefined => decisions.at(-1);

describe("eventsFor > an arriving agent", () => {
  test("publishes joined and ready, both at once for a quick agent", () => {
    const [decision] = looks([{ is: "ready", identity: "agent-AJ_1", users: 0 }]);
    expect(typesOf(decision)).toEqual(["joined", "ready"]);
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

  test("repeats events until the session's record has followed", () => {
    const ready: Observation = { is: "ready" };
    const launch = aLaunch({ state: "ready" });
    expect(typesOf(last(looks([ready], { launch, record: aRecord("dispatched") })))).toEqual([
      "joined",
      "ready",
    ]);
    expect(typesOf(last(looks([ready], { launch, record: aRecord("joined") })))).toEqual(["ready"]);
    expect(typesOf(last(looks([ready], { launch, record: aRecord("ready") })))).toEqual([]);
  });

  test("publishes no ready for an agent that has only joined", () => {
    expect(typesOf(last(looks([{ is: "joined" }, { is: "joined" }], { record: aRecord("joined") })))).toEqual(
      [],
    );
  });

  test("never moves a launch back, and returns the very same launch if nothing changed", () => {
    const launch = aLaunch({ state: "ready", identity: "a" });
    const [decision] = looks([{ is: "joined", identity: "a", externalId: "AD_1" }], {
      launch,
      record: aRecord("ready"),
    });
    expect(decision?.launch).toBe(launch);
  });
});

describe("eventsFor > a missing agent", () => {
  const gone: Observation = { is: "launched" };
  const launch = aLaunch({ state: "ready", identity: "agent-AJ_1" });
  const record = aRecord("ready");

  test("publishes agent_lost at the second observation, because a reconnecting client is back by then", () => {
    const decisions = looks([gone, gone], { launch, record });
    expect(decisions.map(typesOf)).toEqual([[], ["agent_lost"]]);
    expect(decisions[1]?.events[0]).toMatchObject({
      reason: "the agent agent-AJ_1 is no longer in room session-s",
    });
    expect(decisions[1]?.events[0]).not.toHaveProperty("state");
  });

  test("does not count observations in quick succession", () => {
    expect(looks([gone, gone, gone], { launch, record, everyMs: 150 }).map(typesOf)).toEqual([[], [], []]);
    expect(typesOf(last(looks([gone, gone, gone, gone], { launch, record, everyMs: 150 })))).toEqual([
      "agent_lost",
    ]);
  });

  test("forgets an absence when the agent is back", () => {
    const back: Observation = { is: "ready", users: 1 };
    expect(looks([gone, back, gone, back], { launch, record }).map(typesOf)).toEqual([[], [], [], []]);
  });

  test("does not miss an agent on its way", () => {
    expect(looks([gone, gone, gone]).map(typesOf)).toEqual([[], [], []]);
  });

  test("publishes agent_lost for an agent that only the session's record has seen", () => {
    expect(typesOf(last(looks([gone, gone], { record })))).toEqual(["agent_lost"]);
  });

  test("publishes agent_lost with its state when all of the launch is absent, so that an arrival overrides it", () => {
    const absent: Observation = { is: "absent", reason: "LiveKit has no room session-s" };
    const decision = last(looks([absent, absent]));
    expect(decision?.events[0]).toMatchObject({
      type: "agent_lost",
      state: "dispatched",
      reason: "LiveKit has no room session-s",
    });
  });

  test("publishes agent_ended without a retry for an agent that left by itself", () => {
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

  test("ignores a room event about an agent that is still in the room", () => {
    const memory: Memory = {
      ...firstMemory(0),
      leftInOrder: { reason: "the agent left the room by itself", atMs: 0 },
    };
    expect(typesOf(last(looks([{ is: "ready", users: 1 }], { launch, record, memory })))).toEqual([]);
  });

  test("ignores an old event that the room was closed, which was about the room's previous life", () => {
    const memory: Memory = { ...firstMemory(0), leftInOrder: { reason: "its room was closed", atMs: 0 } };
    const here: Observation = { is: "ready", users: 1 };
    const decisions = looks([here, here, here, gone, gone], { launch, record, memory, everyMs: 2000 });
    expect(typesOf(last(decisions))).toEqual(["agent_lost"]);
    const soon = looks([here, gone], { launch, record, memory, everyMs: 2000 });
    expect(typesOf(last(soon))).toEqual(["agent_ended"]);
  });

  test("publishes agent_lost for a listed agent that answers nothing for longer", () => {
    const silent: Observation = { is: "ready", identity: "agent-AJ_1", isSilent: true };
    const decisions = looks([silent, silent, silent], { launch, record });
    expect(decisions.map(typesOf)).toEqual([[], [], ["agent_lost"]]);
    expect(decisions[2]?.events[0]).toMatchObject({
      reason: "the agent agent-AJ_1 is listed in room session-s and does not answer",
    });
  });
});

describe("eventsFor > an untaken launch", () => {
  const untaken: Observation = { is: "untaken", reason: "no worker took the job" };

  test("publishes provider_declined after the dispatch timeout, with a pause that grows with the attempts", () => {
    const decisions = looks([untaken, untaken, untaken, untaken, untaken]);
    expect(decisions.map(typesOf)).toEqual([[], [], [], [], ["provider_declined"]]);
    expect(decisions[4]?.events[0]).toMatchObject({
      reason: "no worker took the job for 4.0 s",
      pauseMs: 500,
    });
    expect([2, 3, 4, 5, 6, 7, 50].map(pauseBefore)).toEqual([500, 1000, 2000, 4000, 5000, 5000, 5000]);
  });

  test("stops counting once a worker accepted", () => {
    const decisions = looks([untaken, untaken, untaken, { is: "launched" }, untaken, untaken]);
    expect(decisions.map(typesOf)).toEqual([[], [], [], [], [], []]);
  });
});

describe("eventsFor > a refused or late agent", () => {
  const taken: Observation = { is: "launched", isTaken: true, identity: "agent-AJ_1" };
  const many = (count: number) => Array<Observation>(count).fill(taken);
  const firstDecline = (decisions: Decision[]) =>
    decisions.findIndex((decision) => typesOf(decision).includes("provider_declined"));

  test("publishes provider_declined at once after a refusal", () => {
    const [decision] = looks([{ is: "declined", reason: "a worker refused the job" }]);
    expect(decision?.events).toEqual([
      expect.objectContaining({
        type: "provider_declined",
        reason: "a worker refused the job",
        pauseMs: 500,
      }),
    ]);
  });

  test("asks again at once when the agent of a taken job has not joined within 2 s", () => {
    const decisions = looks(many(4));
    expect(firstDecline(decisions)).toBe(2);
    expect(decisions[2]?.events[0]).toMatchObject({
      reason: "a worker took the job, and its agent did not join for 2.0 s",
      pauseMs: 0,
    });
  });

  test("waits longer for agents that usually take longer", () => {
    expect(firstDecline(looks(many(12), { usualJoinMs: 4000 }))).toBe(8);
    const untaken: Observation = { is: "untaken", reason: "no worker took the job" };
    const longer = looks(Array<Observation>(12).fill(untaken), { usualJoinMs: 3000 });
    expect(firstDecline(longer)).toBe(6);
    expect(firstDecline(looks(Array<Observation>(12).fill(untaken), { usualJoinMs: 60_000 }))).toBe(7);
  });

  test("fails the attempt of a second late agent after 10 s", () => {
    const late = { state: "requested", at: AT, attempt: 2, reason: `${LATE_REASON} for 2.0 s` } as const;
    const record = aRecord("dispatched", { history: [late] });
    const decisions = looks(many(14), { record });
    expect(decisions.map(typesOf).findIndex((types) => types.includes("agent_ended"))).toBe(10);
    expect(decisions[10]?.events[0]).toMatchObject({
      error: expect.stringContaining("its entry may have failed before it connected"),
      cause: "provider",
      retryable: true,
    });
    const slow = looks(many(20), { record, usualJoinMs: 4000 });
    expect(slow.map(typesOf).findIndex((types) => types.includes("agent_ended"))).toBe(16);
    const inBurst = looks(many(25), { record, othersJoining: 1 });
    expect(inBurst.map(typesOf).findIndex((types) => types.includes("agent_ended"))).toBe(20);
    const patient = { ...record, deadlineMs: { ...record.deadlineMs, dispatched: 15_000 } };
    const allowed = looks(many(20), { record: patient });
    expect(allowed.map(typesOf).findIndex((types) => types.includes("agent_ended"))).toBe(15);
  });

  test("declines for lateness once, until an agent was ready", () => {
    const late = { state: "requested", at: AT, attempt: 2, reason: `${LATE_REASON} for 2.0 s` } as const;
    const ready = { state: "ready", at: AT, attempt: 2 } as const;
    const declineAfter = (...history: SessionRecord["history"]) =>
      firstDecline(looks(many(5), { record: aRecord("dispatched", { history }) }));
    expect(declineAfter(late)).toBe(-1);
    expect(declineAfter(late, ready)).toBe(2);
  });

  test("does not take an agent for late that is on its way by another provider, or has joined", () => {
    expect(firstDecline(looks(Array<Observation>(5).fill({ is: "launched" })))).toBe(-1);
    expect(firstDecline(looks(many(5), { record: aRecord("joined") }))).toBe(-1);
  });
});

describe("eventsFor > an ended launch", () => {
  test("publishes agent_ended with the error, its cause and whether to retry", () => {
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

describe("eventsFor > users", () => {
  const launch = aLaunch({ state: "ready" });
  const here: Observation = { is: "ready", users: 1 };
  const away: Observation = { is: "ready", users: 0 };
  const unknown: Observation = { is: "ready" };
  const record = aRecord("ready", { deadlineMs: { ...aSession("s").deadlineMs, userAbsent: 2000 } });
  const leave = { event: "participant_left", room: "session-s" };

  test("publishes user_left after the grace time, not before", () => {
    const decisions = looks([here, away, away, away, away], { launch, record });
    expect(decisions.map(typesOf)).toEqual([[], [], [], [], ["user_left"]]);
  });

  test("publishes nothing when a user returns within the grace time", () => {
    const decisions = looks([here, away, away, here, away, away], { launch, record });
    expect(decisions.map(typesOf)).toEqual([[], [], [], [], [], []]);
  });

  test("publishes user_left at once when the user hangs up on an AgentSession", () => {
    const memoryOf = (reason: string, identity = record.user.id) =>
      memoryAfterEvent(firstMemory(0), launch, { ...leave, identity, reason }, 0);
    const memory = memoryOf("CLIENT_INITIATED");
    const hasAgentSession = true as const;
    const left: Observation[] = [
      { ...here, hasAgentSession },
      { ...away, hasAgentSession },
    ];
    expect(looks(left, { launch, record, memory }).map(typesOf)).toEqual([[], ["user_left"]]);
    expect(looks([here, away], { launch, record, memory }).flatMap(typesOf)).toEqual([]);
    // The user left before there was an AgentSession to close.
    const late: Observation[] = [
      { ...away, hasAgentSession },
      { ...away, hasAgentSession },
    ];
    expect(looks(late, { launch, record, memory }).flatMap(typesOf)).toEqual([]);
    for (const other of [memoryOf("SIGNAL_CLOSE"), memoryOf("CLIENT_INITIATED", "somebody-else")])
      expect(looks(left, { launch, record, memory: other }).flatMap(typesOf)).toEqual([]);
  });

  test("publishes user_left after the grace time for a user who was in no observation", () => {
    const aborted = { event: "participant_connection_aborted", room: "session-s", identity: record.user.id };
    const memory = memoryAfterEvent(firstMemory(0), launch, aborted, 0);
    const patient = aRecord("ready");
    const decisions = looks([away, away, away, away], { launch, record: patient, memory });
    expect(decisions.map(typesOf)).toEqual([[], [], [], ["user_left"]]);
  });

  test("treats an unknown number of users as neither gone nor back", () => {
    const decisions = looks([here, away, unknown, unknown, away], { launch, record });
    expect(decisions.map(typesOf)).toEqual([[], [], [], [], ["user_left"]]);
    expect(looks([here, unknown, unknown, unknown, unknown], { launch, record }).flatMap(typesOf)).toEqual(
      [],
    );
  });

  test("publishes deadline_exceeded for users who never joined, by the session's own limit", () => {
    const decisions = looks([away, away, away], { launch, record });
    expect(decisions.map(typesOf)).toEqual([[], [], ["deadline_exceeded"]]);
    expect(decisions[2]?.events[0]).toMatchObject({ kind: "user_absent", state: "ready", waitedMs: 2000 });
  });

  test("does not wait for users before the agent is ready", () => {
    expect(looks([away, away, away, away], { launch, record: aRecord("joined") }).map(typesOf)).toEqual([
      ["ready"],
      ["ready"],
      ["ready"],
      ["ready"],
    ]);
  });
});

test("observes often while a launch starts, soon when something is missing, else seldom", () => {
  const memory = firstMemory(0);
  expect(nextLookInMs({ record: aRecord("dispatched"), memory }, 1000, 3000)).toBe(150);
  expect(nextLookInMs({ record: aRecord("joined"), memory }, 20_000, 3000)).toBe(500);
  expect(nextLookInMs({ record: aRecord("ready"), memory }, 20_000, 3000)).toBe(3000);
  const missing = { ...memory, missing: { sinceMs: 0, looks: 1 } };
  expect(nextLookInMs({ record: aRecord("ready"), memory: missing }, 20_000, 3000)).toBe(400);
});

test("accepts only the client's own leaving and the end of the room as orderly ends", () => {
  const agent = { room: "session-s", identity: "agent-AJ_1" };
  const launch = aLaunch(agent);
  const reasonAfter = (event: string, reason?: string) =>
    memoryAfterEvent(
      firstMemory(0),
      launch,
      { ...agent, event, ...(reason === undefined ? {} : { reason }) },
      0,
    ).leftInOrder?.reason;
  expect(reasonAfter("participant_left", "CLIENT_INITIATED")).toBe("the agent left the room by itself");
  expect(reasonAfter("room_finished")).toBe("its room was closed");
  for (const reason of [undefined, "SIGNAL_CLOSE", "PARTICIPANT_REMOVED", "CONNECTION_TIMEOUT"])
    expect(reasonAfter("participant_left", reason), String(reason)).toBeUndefined();
  expect(reasonAfter("participant_joined", "CLIENT_INITIATED")).toBeUndefined();
});
