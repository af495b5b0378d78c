// Counts of free agents, and the queue a session waits in.
import { describe, expect, test } from "vitest";
import type { HostProfile, HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import {
  busyAgents,
  freeAgentCount,
  freeAgents,
  median,
  queueKeyOf,
} from "../../../../libs/domain/capacity.ts";
import { aHost } from "../../../kit/fixtures/sessions.ts";

const profile = (changed: Partial<HostProfile> = {}): HostProfile => ({
  status: "running",
  warm: 0,
  hot: 0,
  warming: 0,
  busy: 0,
  max: 4,
  ...changed,
});

const host = (echo: Partial<HostProfile>, changed: Partial<HostRecord> = {}): HostRecord =>
  aHost("h", 1, { maxAgents: 10, profiles: { echo: profile(echo) }, ...changed });

describe("freeAgents", () => {
  test("counts hot and warm agents, and as many cold ones as the profile and the host still allow", () => {
    expect(freeAgents(host({ hot: 1, warm: 1, busy: 1, max: 5 }), "echo")).toEqual({
      hot: 1,
      warm: 1,
      cold: 2,
    });
  });

  test("stays within the host's own limit, whatever its pools hold", () => {
    const full = host({ hot: 2, warm: 2, busy: 3 }, { maxAgents: 4 });
    expect(freeAgents(full, "echo")).toEqual({ hot: 1, warm: 0, cold: 0 });
  });

  test("subtracts busy agents of other profiles, and not idle ones", () => {
    const shared = host(
      {},
      { maxAgents: 4, profiles: { echo: profile(), tone: profile({ warm: 2, busy: 1 }) } },
    );
    expect(freeAgents(shared, "echo")).toEqual({ hot: 0, warm: 0, cold: 3 });
    expect(busyAgents(shared)).toBe(1);
  });

  test.each([
    ["a draining host", { draining: true }],
    ["a host whose profile failed", { profiles: { echo: profile({ warm: 2, status: "failed" }) } }],
    ["a host without the profile", { profiles: {} }],
  ])("finds none on %s", (_of, changed) => {
    expect(freeAgents(host({ warm: 2 }, changed), "echo")).toEqual({ hot: 0, warm: 0, cold: 0 });
  });
});

describe("freeAgentCount", () => {
  test("adds up the idle and the cold agents of all hosts", () => {
    const hosts = [
      host({ warm: 1, busy: 2, max: 5 }),
      host({ warm: 1, busy: 2, max: 5 }, { maxAgents: 3 }),
      host({ warm: 1 }, { draining: true }),
      host({ warm: 1, status: "failed" }),
    ];
    expect(freeAgentCount(hosts, "echo")).toBe(4);
    expect(freeAgentCount(hosts, "sales")).toBe(0);
    expect(freeAgentCount([host({ max: 3, busy: 1 }), host({ max: 9 }, { maxAgents: 4 })], "echo")).toBe(6);
  });
});

describe("queueKeyOf", () => {
  test("is the profile where the fleet serves it, and the provider's own where a provider does", () => {
    expect(queueKeyOf({ profile: "echo" })).toBe("echo");
    expect(queueKeyOf({ profile: "echo", provider: "pool" })).toBe("echo");
    expect(queueKeyOf({ profile: "echo", provider: "sip" })).toBe("echo");
    expect(queueKeyOf({ profile: "echo", provider: "vapi" })).toBe("vapi:echo");
  });
});

describe("median", () => {
  test("takes the middle value in any order, the upper one of two", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([10, 9, 1, 100])).toBe(10);
    expect(median([])).toBeUndefined();
  });
});
