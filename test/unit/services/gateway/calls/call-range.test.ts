// The range of days of a request for calls.
import { describe, expect, test } from "vitest";
import { callRange, daysOf } from "../../../../../services/gateway/calls/call-range.ts";

describe("callRange", () => {
  const NOON = Date.UTC(2026, 0, 31, 12);

  test("includes both days of a range of days, and excludes the end of a range of times", () => {
    const days = callRange({ from: "2026-01-30", to: "2026-01-31" }, NOON, 7);
    expect(daysOf(days)).toEqual(["20260130", "20260131"]);
    expect(days.includes("2026-01-31T23:59:59.999Z")).toBe(true);
    expect(days.includes("2026-02-01T00:00:00.000Z")).toBe(false);
    const times = callRange({ from: "2026-01-30T23:00:00Z", to: "2026-01-31T00:00:00Z" }, NOON, 7);
    expect(daysOf(times)).toEqual(["20260130"]);
    expect(times.includes("2026-01-31T00:00:00.000Z")).toBe(false);
  });

  test("defaults to the last days including today", () => {
    expect(daysOf(callRange({}, NOON, 3))).toEqual(["20260129", "20260130", "20260131"]);
  });
});
