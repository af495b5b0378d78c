// Every sequence of up to six inputs to the session machine, and the rules at each step.
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { SessionRecord, type SessionState } from "../../../../../libs/contracts/sessions/session.ts";
import { newSession, reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import type { SessionInput } from "../../../../../libs/domain/session/transitions.ts";
import { AT, anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";

const LENGTH = 6;

/** The hosts to choose from: another host, and another epoch of the same one. */
const HOSTS = [
  { host: "host-a", epoch: 7, requestedWarmth: "warm" },
  { host: "host-a", epoch: 8, requestedWarmth: "hot" },
  { host: "host-b", epoch: 7, requestedWarmth: "hot" },
] as const;

const mayBecome: Record<SessionState, SessionState[]> = {
  requested: ["dispatched", "ended"],
  dispatched: ["requested", "joined", "ready", "ended"],
  joined: ["requested", "ready", "ended"],
  ready: ["requested", "ready", "ended"],
  ended: [],
};
const order: SessionState[] = ["requested", "dispatched", "joined", "ready", "ended"];

const address = { tenant: "t", sessionId: "s", at: AT };

interface Sender {
  readonly attempt: number;
  readonly host: string;
  readonly epoch: number;
}

/**
 * Every type of input: a matching one, and those of an earlier and a later attempt, another host and another
 * epoch.
 */
function everyInput(record: SessionRecord): SessionInput[] {
  const { attempt } = record;
  const right: Sender = { attempt, host: record.host ?? "host-a", epoch: record.hostEpoch ?? 7 };
  const attempts = [attempt - 1, attempt, attempt + 1].filter((number) => number > 0);
  const senders: Sender[] = [
    ...attempts.map((number) => ({ ...right, attempt: number })),
    { ...right, host: right.host === "host-a" ? "host-b" : "host-a" },
    { ...right, epoch: right.epoch - 1 },
    { ...right, epoch: right.epoch + 1 },
  ];
  return [
    { ...address, type: "end_requested", endedReason: "completed", reason: "asked" },
    ...attempts.flatMap(fromAnybody),
    ...attempts.flatMap((number) => HOSTS.map((choice) => chosen(number, choice))),
    ...senders.slice(0, -2).flatMap(fromDispatcher),
    ...senders.flatMap(fromHost),
  ];
}

const chosen = (attempt: number, choice: (typeof HOSTS)[number]): SessionInput => ({
  type: "host_chosen",
  attempt,
  at: AT,
  ...choice,
});

const fromAnybody = (attempt: number): SessionInput[] => [
  { ...address, type: "agent_lost", attempt, reason: "no answer" },
  { ...address, type: "retry_requested", attempt },
  ...deadlines.map(
    ([state, kind]): SessionInput => ({
      ...address,
      type: "deadline_exceeded",
      attempt,
      state,
      kind,
      waitedMs: 1,
      reason: "too long",
    }),
  ),
];

const deadlines = [
  ["requested", "waiting"],
  ["dispatched", "join"],
  ["joined", "ready"],
  ["ready", "max_duration"],
  ["ready", "idle"],
  ["ready", "user_absent"],
  ["joined", "user_absent"],
  ["dispatched", "user_absent"],
] as const;

const fromDispatcher = ({ attempt, host }: Sender): SessionInput[] => [
  { type: "declined", attempt, host, reason: "full", at: AT },
  { type: "host_failed", attempt, host, reason: "its agents die", at: AT },
  { type: "assign_failed", attempt, host, reason: "silent", retryable: true, at: AT },
  { type: "assign_failed", attempt, host, reason: "refused", retryable: false, at: AT },
];

function fromHost({ attempt, host, epoch }: Sender): SessionInput[] {
  const sender = { ...address, attempt, host, epoch };
  const joinedRoom = {
    room: `standby-${host}`,
    identity: `agent-${host}-${attempt}`,
    warm: "hot",
    tookMs: 5,
  } as const;
  return [
    { ...sender, type: "joined", ...joinedRoom },
    { ...sender, type: "ready", ...joinedRoom },
    { ...sender, type: "ready", ...joinedRoom, awaitingUser: true },
    { ...sender, type: "agent_started" },
    { ...sender, type: "user_left" },
    { ...sender, type: "migrated", reason: "its host drains" },
    { ...sender, type: "provider_declined", reason: "no worker took it", pauseMs: 500 },
    { ...sender, type: "agent_ended", reason: "it left", retryable: true },
    { ...sender, type: "agent_ended", reason: "a bug", error: "a bug", retryable: true },
    { ...sender, type: "agent_ended", reason: "a bug", error: "a bug", retryable: false },
    { ...sender, type: "agent_ended", reason: "403", error: "403", retryable: false, cause: "provider" },
  ];
}

/** Whether an input is from an attempt, host or epoch that the record does not name. */
const isForeign = (record: SessionRecord, input: SessionInput): boolean =>
  ("attempt" in input && input.attempt !== record.attempt) ||
  (input.type !== "host_chosen" && "host" in input && input.host !== record.host) ||
  (input.type !== "host_chosen" && "epoch" in input && input.epoch !== record.hostEpoch);

/** Everything that the machine can decide by. The rest of a record is its past. */
const essence = (record: SessionRecord): string =>
  [
    record.state,
    record.attempt,
    record.failures,
    record.recovering,
    record.awaitingUser,
    record.host,
    record.hostEpoch,
    record.room,
    record.previous?.host,
    record.previous?.keepUntilReplaced,
    record.endedReason,
  ].join(" ");

function deepFreeze<T>(value: T): T {
  for (const part of Object.values(value as object)) {
    if (typeof part === "object" && part !== null && !Object.isFrozen(part)) deepFreeze(part);
  }
  return Object.freeze(value);
}

interface Seen {
  readonly records: number;
  readonly steps: number;
  readonly changes: number;
  readonly states: Set<string>;
  readonly reasons: Set<string>;
}

/** Searches breadth first. Records with the same essence have the same future, so each is continued once. */
function explore(
  start: SessionRecord,
  check: (before: SessionRecord, input: SessionInput) => SessionRecord,
): Seen {
  const known = new Set([essence(start)]);
  const states = new Set<string>();
  const reasons = new Set<string>();
  let [steps, changes] = [0, 0];
  let edge = [start];
  for (let depth = 0; depth < LENGTH; depth++) {
    const next: SessionRecord[] = [];
    for (const before of edge.map(deepFreeze)) {
      for (const input of everyInput(before)) {
        const after = check(before, input);
        steps += 1;
        if (after === before) continue;
        changes += 1;
        states.add(`${before.state} → ${after.state}`);
        if (after.endedReason !== undefined) reasons.add(after.endedReason);
        const key = essence(after);
        if (known.has(key)) continue;
        known.add(key);
        next.push(after);
      }
    }
    edge = next;
  }
  return { records: known.size, steps, changes, states, reasons };
}

/** Reduces one input, and throws if a rule is broken, with the record and the input. */
function checkedStep(before: SessionRecord, input: SessionInput, take = reduceSession): SessionRecord {
  const after = take(before, input);
  const fail = (what: string): never => {
    throw new Error(
      `${what}\nbefore: ${JSON.stringify(before)}\ninput: ${JSON.stringify(input)}\nafter: ${JSON.stringify(after)}`,
    );
  };
  if (after === before) return after;
  if (before.state === "ended") fail("an ended session changed");
  if (isForeign(before, input)) fail("an input of another attempt, host or epoch changed something");
  if (input.type === "retry_requested") fail("retry_requested changed something");
  if (!mayBecome[before.state].includes(after.state)) fail("no such transition");
  if (after.attempt < before.attempt) fail("the attempt decreased");
  const isBack = order.indexOf(after.state) < order.indexOf(before.state);
  if (isBack !== (after.attempt === before.attempt + 1))
    fail("only the next attempt goes back, and each goes back");
  if (isBack && after.state !== "requested") fail("a session went back to another state than requested");
  if (after.failures > after.maxAttempts) fail("more failures than attempts");
  if (after.failures < before.failures) fail("the failures decreased");
  if (input.type === "agent_started") {
    const { awaitingUser, ...rest } = before;
    if (awaitingUser !== true || JSON.stringify(after) !== JSON.stringify(rest))
      fail("agent_started changed more than the agent's state");
    return after;
  }
  if (after.history.length !== before.history.length + 1) fail("a change is not one entry in the history");
  if (JSON.stringify(after.history.slice(0, -1)) !== JSON.stringify(before.history))
    fail("history was rewritten");
  const line = after.history.at(-1);
  if (line?.state !== after.state || line.attempt !== after.attempt)
    fail("the history disagrees with the record");
  const ends = [after.endedReason, after.fault].map((part) => part !== undefined);
  if (ends.some((isSet) => isSet !== (after.state === "ended")))
    fail("reason and fault are not set exactly for an ended session");
  if (after.state === "requested" && after.host !== undefined) fail("a waiting session has a host");
  if (["dispatched", "joined", "ready"].includes(after.state) && after.hostEpoch === undefined) {
    fail("a dispatched session has no host epoch");
  }
  // A field with the value undefined is lost on the wire, so the next reader would have another record.
  if (!isDeepStrictEqual(SessionRecord.parse(JSON.parse(JSON.stringify(after))), after))
    fail("the wire changes the record");
  if (take(after, input) !== after) fail("a repeated input changed something");
  return after;
}

describe("reduceSession", () => {
  const starts = [
    [1, undefined],
    [2, "my-room"],
    [3, undefined],
  ] as const;

  test.each(starts)(
    "keeps the rules with %i attempts and the room %s",
    (maxAttempts, room) => {
      const event = anEvent("s", room === undefined ? {} : { room });
      const seen = explore(newSession(event, { ...defaults, maxAttempts }), (before, input) =>
        checkedStep(before, input),
      );
      expect([...seen.states].sort()).toEqual(
        Object.entries(mayBecome)
          .flatMap(([from, tos]) => tos.map((to) => `${from} → ${to}`))
          .sort(),
      );
      expect(seen.changes).toBeGreaterThan(100);
      expect(seen.steps).toBeGreaterThan(5 * seen.changes);
      const reasons = ["cancelled", "completed", "no_capacity", "idle", "expired", "max_duration"];
      // Six inputs don't reach the last deadline of a third attempt.
      if (maxAttempts < 3) reasons.push("ready_timeout");
      for (const reason of [...reasons, "agent_lost", "agent_error", "join_timeout"]) {
        expect(seen.reasons).toContain(reason);
      }
    },
    60_000,
  );

  test("detects a result that breaks a rule", () => {
    const waiting = newSession(anEvent("s"), defaults);
    const choice = chosen(1, HOSTS[0]);
    const dispatched = reduceSession(waiting, choice);
    const broken: [SessionRecord, SessionInput, SessionRecord][] = [
      [waiting, choice, { ...dispatched, history: [...dispatched.history, ...dispatched.history] }],
      [waiting, choice, { ...dispatched, attempt: 2 }],
      [waiting, choice, { ...dispatched, state: "ready" }],
      [waiting, choice, { ...dispatched, failures: 9 }],
      [waiting, choice, { ...dispatched, endedReason: "idle" }],
      [
        dispatched,
        chosen(2, HOSTS[1]),
        reduceSession(dispatched, { ...choice, type: "declined", reason: "full", attempt: 1 } as never),
      ],
    ];
    for (const [before, input, after] of broken) {
      expect(() => checkedStep(before, input, () => after)).toThrow(/before: /);
    }
    expect(() => checkedStep(waiting, choice)).not.toThrow();
  });
});
