// The one table of how far calls have come and whom they reached.
import { expect, test } from "vitest";
import { CallStatus } from "../../../../../libs/contracts/providers/provider.ts";
import { progressOf, reachOf } from "../../../../../libs/domain/call/call-rank.ts";

test("a call moves from dialing over ringing and answered to its end, and every end is the last", () => {
  expect(progressOf(undefined)).toBeLessThan(progressOf("dialing"));
  expect(progressOf("dialing")).toBeLessThan(progressOf("ringing"));
  expect(progressOf("ringing")).toBeLessThan(progressOf("answered"));
  const ends = CallStatus.options.filter((status) => !["dialing", "ringing", "answered"].includes(status));
  expect(ends).toHaveLength(6);
  for (const status of ends) expect(progressOf(status)).toBe(progressOf("answered") + 1);
});

test("a call that may have reached somebody outranks one that surely did not", () => {
  const order = [...CallStatus.options].sort((a, b) => reachOf({ status: a }) - reachOf({ status: b }));
  expect(order).toEqual([
    "failed",
    "busy",
    "noAnswer",
    "dialing",
    "ringing",
    "unknown",
    "voicemail",
    "answered",
    "hungUp",
  ]);
  expect(reachOf({ status: "busy" })).toBe(reachOf({ status: "noAnswer" }));
});

test("a call that was hung up before an answer reached as few as one that nobody answered", () => {
  expect(reachOf({ status: "hungUp", unanswered: true })).toBe(reachOf({ status: "noAnswer" }));
});
