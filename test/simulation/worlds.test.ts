// A sample of worlds of each kind: every invariant holds, and enough happens in them.
import { beforeAll, describe, expect, test } from "vitest";
import { failureLine, seedsFrom } from "./assert-seeds.ts";
import { Coverage, movesOfTheMachine } from "./checks/coverage.ts";
import { runSeed } from "./run.ts";
import {
  allChaos,
  FIRST_CALLING_SEED,
  FIRST_CANARY_SEED,
  FIRST_CONNECTED_SEED,
  FIRST_SMALL_SEED,
} from "./scenario.ts";

/** The suite simulation-full runs 22,000. */
const SEEDS = [
  ...seedsFrom(1, 30),
  ...seedsFrom(FIRST_SMALL_SEED, 240),
  ...seedsFrom(FIRST_CONNECTED_SEED, 80),
  ...seedsFrom(FIRST_CALLING_SEED, 60),
  ...seedsFrom(FIRST_CANARY_SEED, 40),
];

describe("simulation of a sample of worlds", () => {
  const coverage = new Coverage();
  const failures: string[] = [];

  beforeAll(async () => {
    for (const seed of SEEDS) {
      const { world, violations } = await runSeed(seed);
      coverage.add(world.coverage.counts);
      const [first] = violations;
      if (first !== undefined) failures.push(failureLine(seed, first));
    }
  }, 300_000);

  test("holds every invariant", () => {
    expect(failures).toEqual([]);
  });

  test("covers every kind of chaos", () => {
    const kinds = [...new Set(allChaos)];
    expect(kinds.filter((kind) => coverage.of(`chaos: ${kind}`) < 5)).toEqual([]);
  });

  test("covers every fault of the bus", () => {
    const faults = ["slow", "drop", "repeat", "loseAck", "refused", "unsent", "unanswered", "late"];
    const more = ["stale", "skip", "resend", "full", "duplicate", "lost compare-and-set"];
    const replicated = ["refused for a write in flight", "refused for a message in flight", "overflowed"];
    const all = [...faults, ...more, ...replicated];
    expect(all.filter((fault) => coverage.of(`bus: ${fault}`) < 5)).toEqual([]);
  });

  test("covers three quarters of the session machine's transitions", () => {
    const moves = movesOfTheMachine();
    const made = moves.filter((move) => coverage.of(move) > 0);
    expect(made.length, `missing: ${moves.filter((move) => !made.includes(move))}`).toBeGreaterThan(
      0.75 * moves.length,
    );
  });

  test("covers sessions, launches, tasks and calls, including later attempts", () => {
    const least = { sessions: 600, "ready again in another attempt": 30, launches: 150, tasks: 80 };
    for (const [what, count] of Object.entries({ ...least, "call records": 150 }))
      expect(coverage.of(what), what).toBeGreaterThan(count);
  });
});
