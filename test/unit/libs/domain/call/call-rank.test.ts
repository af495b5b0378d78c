// Ranks of call statuses.
import { describe, expect, test } from "vitest";
import { CallStatus } from "../../../../../libs/contracts/providers/provider.ts";
import { progressOf, reachOf } from "../../../../../libs/domain/call/call-rank.ts";

describe("progressOf", () => {
  test("rises from dialing through ringing and answered to the end, and is equal for every end", () => {
    expect(progressOf(undefined)).toBeLessThan(progressOf("dialing"));
    expect(progressOf("dialing")).toBeLessThan(progressOf("ringing"));
    expect(progressOf("ringing")).toBeLessThan(progressOf("answered"));
    const ends = CallStatus.options.filter((status) => !["dialing", "ringing", "answered"].includes(status));
    expect(ends).toHaveLength(6);
    for (const status of ends) expect(progressOf(status)).toBe(progressOf("answered") + 1);
  });
});

describe("reachOf", () => {
  test("ranks a call that may have reached somebody above one that surely did not", () => {
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

  test("treats a call that was hung up before an answer as unanswered", () => {
    expect(reachOf({ status: "hungUp", unanswered: true })).toBe(reachOf({ status: "noAnswer" }));
  });
});
