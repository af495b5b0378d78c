// Periodic checks that share a timer.
import { expect, test } from "vitest";
import { SharedInterval } from "../../../../../libs/bus/nats/shared-interval.ts";
import { until } from "../../../../kit/until.ts";

test("calls each function until it is removed, and starts again for the next one", async () => {
  const interval = new SharedInterval(5);
  const calls: string[] = [];
  const removeFirst = interval.add(() => calls.push("first"));
  const removeSecond = interval.add(() => calls.push("second"));
  await until(() => calls.length >= 4, { what: "both are called" });
  removeFirst();
  calls.length = 0;
  await until(() => calls.length >= 2, { what: "the second is called" });
  expect(calls).not.toContain("first");
  removeSecond();
  calls.length = 0;
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(calls).toEqual([]);
  const removeThird = interval.add(() => calls.push("third"));
  await until(() => calls.length > 0, { what: "the third is called" });
  removeThird();
});
