// A host on which every start fails, beside hosts that work: the sessions succeed on the others.
import { describe, expect, test } from "vitest";
import { failureLine, seedsFrom } from "./assert-seeds.ts";
import { type Outcome, runSeed } from "./run.ts";
import { behaved, FIRST_SMALL_SEED, type Scenario } from "./scenario.ts";

/** A dispatcher sets a host aside after this number of failures. */
const FAILURES = 3;

const calm: Partial<Scenario> = {
  ...{ hosts: 3, clients: 9, chaosMs: 40_000, chaos: [], faults: {}, livekitFails: 0 },
  ...{ misbehaviour: behaved, maxAttempts: 3, profiles: ["echo"], hostsKeepTheirNames: true },
  ...{ pool: { min: 3, hot: 1, max: 30, perProcess: 1 }, maxAgents: 10 },
};

const runAll = async (scenario: Partial<Scenario>): Promise<Outcome[]> => {
  const outcomes: Outcome[] = [];
  for (const seed of seedsFrom(FIRST_SMALL_SEED, 8)) outcomes.push(await runSeed(seed, { scenario }));
  return outcomes;
};

/** The starts on the broken host that cost sessions an attempt. */
const failuresOf = ({ world }: Outcome): number =>
  world.records().reduce((sum, { failures }) => sum + failures, 0);

const startsOn = (host: string, { world }: Outcome): number =>
  world
    .records()
    .flatMap(({ history }) => history)
    .filter((entry) => entry.state === "dispatched" && entry.host === host).length;

describe("a world with a broken host", () => {
  test("holds every invariant, and ends no session because of that host", async () => {
    for (const outcome of await runAll({ ...calm, brokenHost: "host-1" })) {
      const { seed, violations, world } = outcome;
      expect(violations.map((violation) => failureLine(seed, violation))).toEqual([]);
      const ended = world.records().map(({ endedReason }) => endedReason);
      expect(ended, `seed ${seed}`).not.toContain("agent_lost");
    }
  });

  test.each([1, 2])(
    "loses a few attempts with %d dispatchers, of which each learns alone",
    async (dispatchers) => {
      const outcomes = await runAll({ ...calm, brokenHost: "host-1", dispatchers });
      for (const outcome of outcomes)
        expect(failuresOf(outcome), `seed ${outcome.seed}`).toBeLessThanOrEqual(dispatchers * FAILURES + 1);
      expect(outcomes.some((outcome) => startsOn("host-1", outcome) > failuresOf(outcome))).toBe(true);
    },
  );

  test("loses no attempt without a broken host", async () => {
    for (const outcome of await runAll(calm)) expect(failuresOf(outcome)).toBe(0);
  });
});
