// Calls as CSV, safe from formula injection.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CallRecord } from "../../../../../libs/contracts/calls/call.ts";
import { buildCall } from "../../../../../libs/domain/call/build-call.ts";
import { csvCell, csvHeader, csvLine } from "../../../../../services/gateway/calls/call-csv.ts";
import { anEndedSession, reportsOf } from "../../../../kit/fixtures/calls.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** The start of the current day, so that every stored call is on a known day. */
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;

describe("csvCell", () => {
  test.each(["=1+1", "+15550100", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1"])(
    "turns a value that a spreadsheet would read as a formula into text: %j",
    (value) => {
      expect(csvCell(value)).toBe(`"'${value.replaceAll('"', '""')}"`);
    },
  );

  test("quotes values with commas, quotes or line breaks only", () => {
    expect(csvCell('a "b", c')).toBe('"a ""b"", c"');
    expect(csvCell("two\nlines")).toBe('"two\nlines"');
    expect(csvCell("plain")).toBe("plain");
    expect(csvCell(-5)).toBe("-5");
    expect(csvCell(undefined)).toBe("");
  });

  test("produces as many cells as the header has, whatever a call contains", () => {
    const cells = (line: string): number =>
      [...line.matchAll(/(?:^|,)(?:"(?:[^"]|"")*"|[^",\r\n]*)/g)].length;
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string(), (name, reason) => {
        const record = anEndedSession({ id: "a", startedAtMs: TODAY, startMs: 1, talkMs: 1 });
        const call: CallRecord = {
          ...buildCall({ ...record, user: { id: "u", name } }, reportsOf(record)),
          reason,
        };
        expect(cells(csvLine(call).replace(/\r\n$/, ""))).toBe(cells(csvHeader().trim()));
      }),
    );
  });
});
