// Worlds that no fixed range has, chosen by the commit.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { failureLine } from "../../simulation/assert-seeds.ts";
import { runMany } from "../../simulation/run-many.ts";
import { type SeedRange, seedsOfCommit } from "./commit-seeds.ts";

/** The commit that is checked out, or another, so that its worlds can be run again on a later one. */
const commit =
  process.env.SIM_COMMIT ?? execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8" }).trim();

const commandOf = ({ from, count }: SeedRange): string => `npm run sim -- --from ${from} --count ${count}`;

test.each(seedsOfCommit(commit))(
  "the worlds of this commit hold: $count from seed $from",
  async (range) => {
    console.log(`commit ${commit.slice(0, 12)}: ${commandOf(range)}`);
    const { failing } = await runMany(range);
    expect(failing.map(({ seed, first }) => failureLine(seed, first))).toEqual([]);
  },
  15 * 60_000,
);
