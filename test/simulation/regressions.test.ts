// Every seed that once showed a bug holds now.
import { expect, test } from "vitest";
import { failuresOf } from "./assert-seeds.ts";
import { regressions } from "./regressions.ts";

test.each(regressions)("the world of seed $seed holds: once, $found", async ({ seed }) => {
  expect(await failuresOf([seed])).toEqual([]);
});
