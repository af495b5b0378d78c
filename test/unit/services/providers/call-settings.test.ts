// The settings of telephone calls: how they are read.
import { describe, expect, test } from "vitest";
import { parseProviderRules } from "../../../../libs/contracts/providers/provider-rules.ts";
import { givenName, parseNumbers } from "../../../../services/providers/call-settings.ts";

describe("the numbers that VAPI calls from", () => {
  test("are read with their ids, in their order", () => {
    expect([...parseNumbers(" +15550100 = a-1,+15550101=b-2 , ")]).toEqual([
      ["+15550100", "a-1"],
      ["+15550101", "b-2"],
    ]);
    expect(parseNumbers("").size).toBe(0);
  });

  test("may be one id alone, for calls that name no number", () => {
    expect([...parseNumbers("a-1").values()]).toEqual(["a-1"]);
  });

  test.each([
    ["a-1, b-2", '"a-1" is not of the form number=id'],
    ["+15550100=", '"+15550100=" is not of the form number=id'],
    ["+0=a", '"+0" is no number as +15550100'],
    ["+15550100=a, +15550100=b", "+15550100 is named twice"],
  ])("%j is refused in words", (text, words) => {
    expect(() => parseNumbers(text)).toThrow(words);
  });
});

test("a provider's own name for a profile is only what a rule gives", () => {
  const rules = parseProviderRules("sales=vapi:asst-1, support=vapi, sales=sip:ST_1");
  expect(givenName(rules, "vapi", "sales")).toBe("asst-1");
  expect(givenName(rules, "sip", "sales")).toBe("ST_1");
  expect(givenName(rules, "vapi", "support")).toBeUndefined();
  expect(givenName(rules, "vapi", "other")).toBeUndefined();
});
