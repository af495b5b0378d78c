// More than twenty thousand worlds: every invariant holds, and enough happens in them.
import { describe, expect, test } from "vitest";
import { failureLine } from "../../simulation/assert-seeds.ts";
import { Coverage, movesOfTheMachine } from "../../simulation/checks/coverage.ts";
import { runMany } from "../../simulation/run-many.ts";
import {
  allChaos,
  FIRST_CALLING_SEED,
  FIRST_CANARY_SEED,
  FIRST_CONNECTED_SEED,
  FIRST_SMALL_SEED,
} from "../../simulation/scenario.ts";

const LARGE = { from: 1, count: 500 };
const MIXED = { from: FIRST_SMALL_SEED, count: 15_500 };
/** With the providers service and external agents. */
const CONNECTED = { from: FIRST_CONNECTED_SEED, count: 4000 };
/** With tasks, phone calls and call records too. */
const CALLING = { from: FIRST_CALLING_SEED, count: 1500 };
/** With several hosts and a canary too. */
const CANARY = { from: FIRST_CANARY_SEED, count: 500 };
const ALL = [LARGE, MIXED, CONNECTED, CALLING, CANARY];
/** Leaves time for a busy machine. */
const TIMEOUT_MS = 45 * 60_000;

/** Rare or impossible: another process gives up an agent that has not joined before these events can be sent. */
const RARE_MOVES = [
  "move: dispatched agent_lost requested",
  "move: dispatched agent_ended requested",
  "move: dispatched migrated requested",
  "move: dispatched deadline_exceeded ended",
  "move: dispatched deadline_exceeded requested",
  "move: dispatched user_left ended",
  "move: joined migrated requested",
  "move: joined user_left ended",
];

describe("simulation of all worlds", () => {
  const coverage = new Coverage();

  test("holds every invariant in more than twenty thousand worlds", { timeout: TIMEOUT_MS }, async () => {
    const failures: string[] = [];
    for (const seeds of ALL) {
      const result = await runMany(seeds);
      failures.push(...result.failing.map(({ seed, first }) => failureLine(seed, first)));
      coverage.add(result.coverage.counts);
    }
    const worlds = ALL.reduce((sum, { count }) => sum + count, 0);
    console.log(`what ${worlds} worlds contained:\n${coverage.lines().join("\n")}`);
    expect(failures).toEqual([]);
  });

  test("covers sessions and attempts by the tens of thousands", () => {
    expect(coverage.of("sessions")).toBeGreaterThan(40_000);
    expect(coverage.of("attempts")).toBeGreaterThan(60_000);
    expect(coverage.all("chaos: ")).toBeGreaterThan(60_000);
    expect(coverage.of("ready again in another attempt")).toBeGreaterThan(2000);
    expect(coverage.of("the janitor gives an agent up")).toBeGreaterThan(2000);
  });

  test.each([...new Set(allChaos)])("covers the chaos %s more than a thousand times", (kind) => {
    expect(coverage.of(`chaos: ${kind}`)).toBeGreaterThan(1000);
  });

  const faults = ["slow", "drop", "repeat", "loseAck", "refused", "unsent", "unanswered", "late"];
  const more = ["stale", "skip", "resend", "full", "duplicate", "lost compare-and-set"];
  const replicated = ["refused for a write in flight", "refused for a message in flight"];
  test.each([...faults, ...more, ...replicated])(
    "covers the fault %s more than a thousand times",
    (fault) => {
      expect(coverage.of(`bus: ${fault}`)).toBeGreaterThan(1000);
    },
  );

  test.each(["lost at an election", "kept at an election"])("covers writes that were %s", (fate) => {
    expect(coverage.of(`bus: ${fate}`)).toBeGreaterThan(50);
  });

  test("covers overflow of messages whose stream has no leader", () => {
    expect(coverage.of("bus: overflowed")).toBeGreaterThan(1000);
  });

  test("covers external agents, whose launches the providers service follows, including those of dead instances", () => {
    expect(coverage.of("launches")).toBeGreaterThan(8000);
    expect(coverage.of("launches: ready")).toBeGreaterThan(5000);
    expect(coverage.of("launches: unconfirmed")).toBeGreaterThan(150);
    expect(coverage.of("launches: taken over")).toBeGreaterThan(300);
    expect(coverage.of("launches: looked up and found")).toBeGreaterThan(100);
    expect(coverage.of("launches: looked up in vain")).toBeGreaterThan(100);
    expect(coverage.of("launches: declined")).toBeGreaterThan(500);
    expect(coverage.of("late dispatches")).toBeGreaterThan(300);
    expect(coverage.of("the providers service gives an agent up")).toBeGreaterThan(400);
    expect(coverage.of("providers is struck")).toBeGreaterThan(1500);
  });

  test("covers tasks with phone calls and a record of every call", () => {
    expect(coverage.of("tasks")).toBeGreaterThan(3000);
    expect(coverage.of("attempts of tasks")).toBeGreaterThan(3200);
    expect(coverage.of("call records")).toBeGreaterThan(6000);
    expect(coverage.of("calls that VAPI made")).toBeGreaterThan(2000);
    expect(coverage.of("calls that were answered")).toBeGreaterThan(900);
    expect(coverage.of("tasks is struck")).toBeGreaterThan(300);
    expect(coverage.of("calls is struck")).toBeGreaterThan(150);
  });

  const ends = ["completed", "canceled", "voicemail", "noAnswer", "busy", "failed", "unknown"];
  test.each(ends)("covers tasks that end as %s", (end) => {
    expect(coverage.of(`tasks: ${end}`)).toBeGreaterThan(15);
  });

  const moves = movesOfTheMachine().filter((move) => !RARE_MOVES.includes(move));
  test.each(moves)("covers the %s", (move) => {
    expect(coverage.of(move)).toBeGreaterThanOrEqual(3);
  });

  const reasons = ["completed", "cancelled", "no_capacity", "join_timeout", "ready_timeout", "agent_lost"];
  test.each([...reasons, "agent_error", "max_duration", "expired"])(
    "covers sessions that end as %s",
    (reason) => {
      expect(coverage.of(`ended: ${reason}`)).toBeGreaterThan(20);
    },
  );
});
