// The capacity of hosts for a profile.
import { describe, expect, it } from "vitest";
import { capacityOnHosts } from "../../../../../services/gateway/sessions/capacity.ts";
import { aHost } from "../../../../kit/worlds/gateway-world.ts";

describe("capacityOnHosts", () => {
  it("adds up the idle agents and the free slots of live hosts", () => {
    const one = aHost(
      { echo: { warm: 2, hot: 1, busy: 4, max: 10, warmUpMs: 900 }, other: { busy: 2 } },
      { maxAgents: 12 },
    );
    const two = aHost({ echo: { warm: 0, hot: 0, busy: 5, max: 5 } }, { hostId: "host-2" });
    const draining = aHost({ echo: {} }, { hostId: "host-3", draining: true });
    expect(capacityOnHosts([one, two, draining], "echo")).toEqual({ idle: 3, cold: 3, warmUpMs: 900 });
  });

  it("is zero where the profile does not run or the host is full", () => {
    expect(capacityOnHosts([aHost({ echo: { status: "failed" } })], "echo")).toMatchObject({
      idle: 0,
      cold: 0,
    });
    const full = aHost({ echo: { warm: 0, hot: 0, busy: 3, max: 50 } }, { maxAgents: 3 });
    expect(capacityOnHosts([full], "echo")).toMatchObject({ idle: 0, cold: 0 });
  });
});
