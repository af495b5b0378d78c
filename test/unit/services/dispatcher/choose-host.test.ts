// The choice of a host for a session.
import { describe, expect, test } from "vitest";
import type { HostProfile, HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import { chooseHost } from "../../../../services/dispatcher/choose-host.ts";
import { aHost, aSession } from "../../../kit/fixtures/sessions.ts";

const profile = (changed: Partial<HostProfile> = {}): HostProfile => ({
  status: "running",
  warm: 0,
  hot: 0,
  warming: 0,
  busy: 0,
  max: 4,
  ...changed,
});

const host = (id: string, echo: Partial<HostProfile>, changed: Partial<HostRecord> = {}): HostRecord =>
  aHost(id, 1, { maxAgents: 10, profiles: { echo: profile(echo) }, ...changed });

describe("chooseHost", () => {
  const cold = host("cold", { max: 4 });
  const warm = host("warm", { warm: 1 });
  const hot = host("hot", { hot: 1 });

  test("prefers a hot agent to a warm one, and a warm one to a cold one", () => {
    const record = aSession("s");
    expect(chooseHost([cold, warm, hot], record)).toMatchObject({ host: "hot", requestedWarmth: "hot" });
    expect(chooseHost([cold, warm], record)).toMatchObject({ host: "warm", requestedWarmth: "warm" });
    expect(chooseHost([cold], record)).toMatchObject({ host: "cold", requestedWarmth: "cold" });
    expect(chooseHost([], record)).toBeUndefined();
  });

  test("uses a hot agent as a warm one for a session that has a room", () => {
    for (const record of [aSession("s", { roomIsNamed: true }), aSession("s", { recovering: true })])
      expect(chooseHost([hot], record)).toMatchObject({ host: "hot", requestedWarmth: "warm" });
  });

  test("chooses the host with the least load among equals, then by name", () => {
    const busy = host("a", { warm: 1 }, { load: 0.5 });
    const idle = host("z", { warm: 1 }, { load: 0.1 });
    expect(chooseHost([busy, idle], aSession("s"))?.host).toBe("z");
    expect(chooseHost([host("b", { warm: 1 }), host("a", { warm: 1 })], aSession("s"))?.host).toBe("a");
  });

  test("chooses a host that just declined the session only without alternative", () => {
    const record = aSession("s", { avoid: ["hot"] });
    expect(chooseHost([hot, cold], record)?.host).toBe("cold");
    expect(chooseHost([hot], record)?.host).toBe("hot");
  });

  test("returns the epoch of the host's record", () => {
    expect(chooseHost([host("h", { warm: 1 }, { epoch: 42 })], aSession("s"))?.epoch).toBe(42);
  });
});
