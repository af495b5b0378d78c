// Settings of phone calls: numbers to call from, and a provider's names for profiles.
import { describe, expect, test } from "vitest";
import { parseProviderRules } from "../../../../libs/contracts/providers/provider-rules.ts";
import { givenName, parseNumbers } from "../../../../services/providers/call-settings.ts";

describe("parseNumbers", () => {
  test("reads numbers with their ids, in order", () => {
    expect([...parseNumbers(" +15550100 = a-1,+15550101=b-2 , ")]).toEqual([
      ["+15550100", "a-1"],
      ["+15550101", "b-2"],
    ]);
    expect(parseNumbers("").size).toBe(0);
  });

  test("accepts a single id, for calls that name no number", () => {
    expect([...parseNumbers("a-1").values()]).toEqual(["a-1"]);
  });

  test.each([
    ["a-1, b-2", '"a-1" does not have the form number=id'],
    ["+15550100=", '"+15550100=" does not have the form number=id'],
    ["+0=a", '"+0" is not a number like +15550100'],
    ["+15550100=a, +15550100=b", "+15550100 appears twice"],
  ])("rejects %j and names the fault", (text, message) => {
    expect(() => parseNumbers(text)).toThrow(message);
  });
});

test("returns a provider's own name for a profile only if a rule gives one", () => {
  const rules = parseProviderRules("sales=vapi:asst-1, support=vapi, sales=sip:ST_1");
  expect(givenName(rules, "vapi", "sales")).toBe("asst-1");
  expect(givenName(rules, "sip", "sales")).toBe("ST_1");
  expect(givenName(rules, "vapi", "support")).toBeUndefined();
  expect(givenName(rules, "vapi", "other")).toBeUndefined();
});
