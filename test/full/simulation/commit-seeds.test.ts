// Runs worlds outside the fixed ranges, chosen by the commit's hash.
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { failureLine } from "../../simulation/assert-seeds.ts";
import { runMany } from "../../simulation/run-many.ts";
import { type SeedRange, seedsOfCommit } from "./commit-seeds.ts";

/** The checked-out commit, or another one to repeat its worlds on a later commit. */
const commit =
  process.env.SIM_COMMIT ?? execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8" }).trim();

const commandOf = ({ from, count }: SeedRange): string => `npm run sim -- --from ${from} --count ${count}`;

describe("simulation", () => {
  test.each(seedsOfCommit(commit))(
    "holds every invariant in this commit's $count worlds from seed $from",
    async (range) => {
      console.log(`commit ${commit.slice(0, 12)}: ${commandOf(range)}`);
      const { failing } = await runMany(range);
      expect(failing.map(({ seed, first }) => failureLine(seed, first))).toEqual([]);
    },
    15 * 60_000,
  );
});
