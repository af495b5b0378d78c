// A clock for one part of a process.
import { expect, test } from "vitest";
import { scopedClock } from "../../../../libs/runtime/scoped-clock.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

test("calls timers in the given context until the clock is closed", async () => {
  const sim = createSimClock();
  const called: string[] = [];
  const { clock, close } = scopedClock(sim, (call) => {
    called.push("in context");
    call();
  });
  clock.after(10, () => called.push("first"));
  const cancel = clock.after(20, () => called.push("canceled"));
  cancel();
  clock.after(30, () => called.push("after the close"));
  await sim.advance(25);
  close();
  clock.after(1, () => called.push("set after the close"));
  await sim.advance(1000);
  expect(called).toEqual(["in context", "first"]);
  expect(clock.monotonic()).toBe(sim.monotonic());
});
