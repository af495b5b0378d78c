// The profile of a start.
import { describe, expect, it } from "vitest";
import { defaultProfile, profileWithAlias } from "../../../../../services/gateway/sessions/profiles.ts";
import { aHost } from "../../../../kit/worlds/gateway-world.ts";

describe("defaultProfile", () => {
  it("is the configured profile, else assistant if it runs, else echo, else the first that runs", () => {
    const disabled = { status: "disabled" as const };
    expect(defaultProfile([aHost({ assistant: {}, echo: {} })], undefined)).toBe("assistant");
    expect(defaultProfile([aHost({ assistant: disabled, echo: {} })], undefined)).toBe("echo");
    expect(defaultProfile([aHost({ assistant: disabled, tutor: {}, coach: {} })], undefined)).toBe("coach");
    expect(defaultProfile([aHost({ assistant: disabled })], undefined)).toBe("assistant");
    expect(defaultProfile([aHost({ assistant: {} })], "tutor")).toBe("tutor");
    expect(defaultProfile([], undefined)).toBeUndefined();
  });
});

describe("profileWithAlias", () => {
  it("finds a profile by the name that its agent has in LiveKit, on any host", () => {
    const second = aHost({ support: { agentName: "front-desk" }, sales: { agentName: "sales-de" } });
    const hosts = [aHost({ echo: {} }), second];
    expect(profileWithAlias(hosts, "front-desk")).toBe("support");
    expect(profileWithAlias(hosts, "sales-de")).toBe("sales");
    expect(profileWithAlias(hosts, "support")).toBeUndefined();
  });
});
