// Seeds 1 to 600: every invariant holds in each of these worlds. Two files, so that two cores can share them.
import { describe, expect, test } from "vitest";
import { failuresOf, seedsFrom } from "./hold.ts";

describe("the services of a simulated world", () => {
  test.each([1, 201, 401])("keep every invariant in the 200 worlds from seed %i", async (from) => {
    expect(await failuresOf(seedsFrom(from, 200))).toEqual([]);
  });
});
