// Calling hours: their time zones, days and ranges.
import { describe, expect, test } from "vitest";
import { isOpen, parseCallingHours } from "../../../../services/tasks/calling-hours.ts";

describe("parseCallingHours and isOpen", () => {
  const open = (hours: string, at: string) => isOpen(parseCallingHours(hours), Date.parse(at));
  const BERLIN = "Mo-Fr 09:00-20:00 Europe/Berlin";

  test("respects the hours' own time zone, in summer and in winter", () => {
    expect(open(BERLIN, "2026-07-01T07:00:00Z")).toBe(true);
    expect(open(BERLIN, "2026-07-01T06:59:00Z")).toBe(false);
    expect(open(BERLIN, "2026-01-05T07:59:00Z")).toBe(false);
    expect(open(BERLIN, "2026-01-05T08:00:00Z")).toBe(true);
    expect(open(BERLIN, "2026-01-05T18:59:59Z")).toBe(true);
    expect(open(BERLIN, "2026-01-05T19:00:00Z")).toBe(false);
  });

  test("respects the local date", () => {
    expect(open(BERLIN, "2026-07-04T10:00:00Z"), "Saturday").toBe(false);
    // Friday evening in New York is Saturday in UTC.
    expect(open("Fr 20:00-23:00 America/New_York", "2026-07-04T01:00:00Z")).toBe(true);
  });

  test("supports several ranges, over midnight, over the weekend, or the whole day", () => {
    const two = "Mo-Fr 09:00-12:00, Sa+Su 10:00-11:00 UTC";
    expect(open(two, "2026-07-05T10:30:00Z")).toBe(true);
    expect(open(two, "2026-07-06T12:30:00Z")).toBe(false);
    expect(open("Fr 22:00-02:00 UTC", "2026-07-04T01:59:00Z")).toBe(true);
    expect(open("Fr 22:00-02:00 UTC", "2026-07-03T01:59:00Z")).toBe(false);
    expect(open("Sa-Mo 00:00-24:00 UTC", "2026-07-05T23:59:00Z")).toBe(true);
    expect(open("Sa-Mo 00:00-24:00 UTC", "2026-07-07T00:00:00Z")).toBe(false);
    expect(open("08:00-09:00 Asia/Kolkata", "2026-07-07T02:31:00Z")).toBe(true);
  });

  test.each([
    ["Mo-Fr 09:00-20:00", /is not valid/],
    ["Mo-Fr 9-20 Europe/Berlin", /is not valid/],
    ["Mo-Xx 09:00-20:00 Europe/Berlin", /"Xx" is not a day/],
    ["Mo-Fr 09:00-25:00 Europe/Berlin", /"25:00" is not a time/],
    ["Mo-Fr 09:00-20:00 Europe/Berlyn", /"Europe\/Berlyn" is not a known time zone/],
    ["", /is not valid/],
  ])("rejects %j with a reason", (text, reason) => {
    expect(() => parseCallingHours(text)).toThrow(reason);
  });
});
