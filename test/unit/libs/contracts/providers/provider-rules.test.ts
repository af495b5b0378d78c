// GREENROOM_PROVIDERS: its rules, and the provider that they choose.
import { describe, expect, test } from "vitest";
import {
  nameWith,
  parseProviderRules,
  providerOf,
} from "../../../../../libs/contracts/providers/provider-rules.ts";

describe("parseProviderRules", () => {
  test("reads rules with and without the provider's name, with and without white space", () => {
    expect(
      parseProviderRules(" support=livekit:support-agent,legacy = webhook , a=vapi: asst_1:2 ,"),
    ).toEqual([
      { profile: "support", provider: "livekit", name: "support-agent" },
      { profile: "legacy", provider: "webhook", name: "legacy" },
      { profile: "a", provider: "vapi", name: "asst_1:2" },
    ]);
    expect(parseProviderRules("")).toEqual([]);
  });

  test.each([
    ["support", '"support" does not have the form profile=provider or profile=provider:name'],
    ["support=", '"support=" does not have the form profile=provider or profile=provider:name'],
    ["=livekit", '"=livekit" does not have the form profile=provider or profile=provider:name'],
    [
      "support=livekit:",
      '"support=livekit:" does not have the form profile=provider or profile=provider:name',
    ],
    ["a b=livekit", '"a b=livekit" does not have the form profile=provider or profile=provider:name'],
    ["a.b=livekit", '"a.b": A profile name may hold letters, digits, "-" and "_" only'],
    ["a=livkit", '"livkit" is not a provider; use one of pool, livekit, webhook, vapi, sip'],
    ["a=livekit,a=livekit:b", '"a" has the provider livekit twice'],
  ])("rejects %s and names the fault", (text, message) => {
    expect(() => parseProviderRules(text)).toThrow(message);
  });
});

test("chooses the requested provider, else the first of the profile's rules, else the pool", () => {
  const rules = parseProviderRules("support=livekit:sup, support=webhook");
  expect(providerOf(rules, "support", undefined)).toBe("livekit");
  expect(providerOf(rules, "support", "webhook")).toBe("webhook");
  expect(providerOf(rules, "support", "pool")).toBe("pool");
  expect(providerOf(rules, "echo", undefined)).toBe("pool");
  expect(nameWith(rules, "livekit", "support")).toBe("sup");
  expect(nameWith(rules, "webhook", "support")).toBe("support");
  expect(nameWith(rules, "livekit", "other")).toBe("other");
});
