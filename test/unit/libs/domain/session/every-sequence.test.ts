// Every sequence of up to six inputs through the session machine, and what holds at each step of each.
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { SessionRecord, type SessionState } from "../../../../../libs/contracts/sessions/session.ts";
import { newSession, reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import type { SessionInput } from "../../../../../libs/domain/session/transitions.ts";
import { AT, anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";

const LENGTH = 6;

/** Who can be chosen: another host, and another life of the same one. */
const HOSTS = [
  { host: "host-a", epoch: 7, requestedWarmth: "warm" },
  { host: "host-a", epoch: 8, requestedWarmth: "hot" },
  { host: "host-b", epoch: 7, requestedWarmth: "hot" },
] as const;

const mayBecome: Record<SessionState, SessionState[]> = {
  requested: ["dispatched", "ended"],
  dispatched: ["requested", "joined", "ready", "ended"],
  joined: ["requested", "ready", "ended"],
  ready: ["requested", "ended"],
  ended: [],
};
const order: SessionState[] = ["requested", "dispatched", "joined", "ready", "ended"];

const address = { tenant: "t", sessionId: "s", at: AT };

interface By {
  readonly attempt: number;
  readonly host: string;
  readonly epoch: number;
}

/** Every type of input: as it is right, of an old and a future attempt, of another host, of another life. */
function everyInput(record: SessionRecord): SessionInput[] {
  const { attempt } = record;
  const right: By = { attempt, host: record.host ?? "host-a", epoch: record.hostEpoch ?? 7 };
  const attempts = [attempt - 1, attempt, attempt + 1].filter((number) => number > 0);
  const speakers: By[] = [
    ...attempts.map((number) => ({ ...right, attempt: number })),
    { ...right, host: right.host === "host-a" ? "host-b" : "host-a" },
    { ...right, epoch: right.epoch - 1 },
    { ...right, epoch: right.epoch + 1 },
  ];
  return [
    { ...address, type: "end_requested", endedReason: "completed", reason: "asked" },
    ...attempts.flatMap(ofAnybody),
    ...attempts.flatMap((number) => HOSTS.map((choice) => chosen(number, choice))),
    ...speakers.slice(0, -2).flatMap(ofDispatcher),
    ...speakers.flatMap(ofHost),
  ];
}

const chosen = (attempt: number, choice: (typeof HOSTS)[number]): SessionInput => ({
  type: "host_chosen",
  attempt,
  at: AT,
  ...choice,
});

const ofAnybody = (attempt: number): SessionInput[] => [
  { ...address, type: "agent_lost", attempt, reason: "no answer" },
  { ...address, type: "retry_requested", attempt },
  ...overdues.map(
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

const overdues = [
  ["requested", "waiting"],
  ["dispatched", "join"],
  ["joined", "ready"],
  ["ready", "max_duration"],
  ["ready", "idle"],
  ["ready", "user_absent"],
  ["joined", "user_absent"],
  ["dispatched", "user_absent"],
] as const;

const ofDispatcher = ({ attempt, host }: By): SessionInput[] => [
  { type: "declined", attempt, host, reason: "full", at: AT },
  { type: "assign_failed", attempt, host, reason: "silent", retryable: true, at: AT },
  { type: "assign_failed", attempt, host, reason: "refused", retryable: false, at: AT },
];

function ofHost({ attempt, host, epoch }: By): SessionInput[] {
  const by = { ...address, attempt, host, epoch };
  const place = {
    room: `standby-${host}`,
    identity: `agent-${host}-${attempt}`,
    warm: "hot",
    tookMs: 5,
  } as const;
  return [
    { ...by, type: "joined", ...place },
    { ...by, type: "ready", ...place },
    { ...by, type: "user_left" },
    { ...by, type: "migrated", reason: "its host drains" },
    { ...by, type: "provider_declined", reason: "no worker took it", pauseMs: 500 },
    { ...by, type: "agent_ended", reason: "it said goodbye", retryable: true },
    { ...by, type: "agent_ended", reason: "a bug", error: "a bug", retryable: true },
    { ...by, type: "agent_ended", reason: "a bug", error: "a bug", retryable: false },
    { ...by, type: "agent_ended", reason: "403", error: "403", retryable: false, cause: "provider" },
  ];
}

/** News of a try, a host or a life that the record doesn't name (any more, or yet). */
const isForeign = (record: SessionRecord, input: SessionInput): boolean =>
  ("attempt" in input && input.attempt !== record.attempt) ||
  (input.type !== "host_chosen" && "host" in input && input.host !== record.host) ||
  (input.type !== "host_chosen" && "epoch" in input && input.epoch !== record.hostEpoch);

/** All that the machine can decide by; the rest of a record only tells how it came to be. */
const essence = (record: SessionRecord): string =>
  [
    record.state,
    record.attempt,
    record.failures,
    record.recovering,
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

/** Breadth first: records that agree in essence have the same future, so each is gone on from once. */
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

/** One step; throws what does not hold, with the record and the input. */
function checkedStep(before: SessionRecord, input: SessionInput, take = reduceSession): SessionRecord {
  const after = take(before, input);
  const fail = (what: string): never => {
    throw new Error(
      `${what}\nbefore: ${JSON.stringify(before)}\ninput: ${JSON.stringify(input)}\nafter: ${JSON.stringify(after)}`,
    );
  };
  if (after === before) return after;
  if (before.state === "ended") fail("an ended session changed");
  if (isForeign(before, input)) fail("news of another attempt, host or life changed something");
  if (input.type === "retry_requested") fail("a wake-up changed something");
  if (!mayBecome[before.state].includes(after.state)) fail("no such transition");
  if (after.attempt < before.attempt) fail("the attempt fell");
  const isBack = order.indexOf(after.state) < order.indexOf(before.state);
  if (isBack !== (after.attempt === before.attempt + 1))
    fail("back is only to the next attempt, and with it");
  if (isBack && after.state !== "requested") fail("back is only to requested");
  if (after.failures > after.maxAttempts) fail("more failures than attempts");
  if (after.failures < before.failures) fail("a failure was forgotten");
  if (after.history.length !== before.history.length + 1) fail("a change is one line in the history");
  if (JSON.stringify(after.history.slice(0, -1)) !== JSON.stringify(before.history))
    fail("history was rewritten");
  const line = after.history.at(-1);
  if (line?.state !== after.state || line.attempt !== after.attempt) fail("the history tells something else");
  const ends = [after.endedReason, after.fault].map((part) => part !== undefined);
  if (ends.some((isSet) => isSet !== (after.state === "ended")))
    fail("an end, and only that, has a reason and a fault");
  if (after.state === "requested" && after.host !== undefined) fail("a session that waits has no host");
  if (["dispatched", "joined", "ready"].includes(after.state) && after.hostEpoch === undefined) {
    fail("a session that was given out names its host and that host's life");
  }
  // What is undefined would be lost on the wire, and would make the next reader's record another one.
  if (!isDeepStrictEqual(SessionRecord.parse(JSON.parse(JSON.stringify(after))), after))
    fail("the wire changes it");
  if (take(after, input) !== after) fail("the same input changed something again");
  return after;
}

describe("every sequence of inputs", () => {
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

  test("the rules can fail: a step that breaks one is found", () => {
    const waiting = newSession(anEvent("s"), defaults);
    const choice = chosen(1, HOSTS[0]);
    const given = reduceSession(waiting, choice);
    const broken: [SessionRecord, SessionInput, SessionRecord][] = [
      [waiting, choice, { ...given, history: [...given.history, ...given.history] }],
      [waiting, choice, { ...given, attempt: 2 }],
      [waiting, choice, { ...given, state: "ready" }],
      [waiting, choice, { ...given, failures: 9 }],
      [waiting, choice, { ...given, endedReason: "idle" }],
      [
        given,
        chosen(2, HOSTS[1]),
        reduceSession(given, { ...choice, type: "declined", reason: "full", attempt: 1 } as never),
      ],
    ];
    for (const [before, input, after] of broken) {
      expect(() => checkedStep(before, input, () => after)).toThrow(/before: /);
    }
    expect(() => checkedStep(waiting, choice)).not.toThrow();
  });
});
