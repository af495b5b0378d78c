// Regressions: runs every seed that once exposed a bug.
import { describe, expect, test } from "vitest";
import { failuresOf } from "./assert-seeds.ts";
import { regressions } from "./regressions.ts";

describe("simulation", () => {
  test.each(regressions)("holds every invariant in world $seed, where once $found", async ({ seed }) => {
    expect(await failuresOf([seed])).toEqual([]);
  });
});
