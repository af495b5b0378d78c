// Reservations of agents, and exclusions of hosts.
import { describe, expect, test } from "vitest";
import type { HostProfile, HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import type { Canary } from "../../../../libs/contracts/fleet/pool.ts";
import { CircuitBreaker } from "../../../../services/dispatcher/circuit-breaker.ts";
import { HostReservations } from "../../../../services/dispatcher/host-reservations.ts";
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

describe("HostReservations", () => {
  const fleetOf = (...hosts: HostRecord[]) => fleetWith(undefined, ...hosts);
  const fleetWith = (canary: Canary | undefined, ...hosts: HostRecord[]) => {
    const known = new Map(hosts.map((each) => [each.hostId, each]));
    return {
      fleet: new HostReservations(
        { all: () => [...known.values()], get: (id) => known.get(id) },
        new CircuitBreaker(() => 0),
        (name) => (name === "echo" ? canary : undefined),
      ),
      update: (each: HostRecord) => void known.set(each.hostId, each),
    };
  };

  test("reserves each agent once, so that a burst is distributed", () => {
    const { fleet } = fleetOf(host("h", { warm: 2, max: 3 }));
    const warmths = [1, 2, 3, 4].map((n) => fleet.choose(aSession(`s${n}`))?.choice.requestedWarmth);
    expect(warmths).toEqual(["warm", "warm", "cold", undefined]);
    expect(fleet.freeFor({ profile: "echo" })).toBe(0);
  });

  test("frees an agent once the host has answered", () => {
    const { fleet } = fleetOf(host("h", { warm: 1, max: 1 }));
    const reservation = fleet.choose(aSession("a"));
    expect(fleet.choose(aSession("b"))).toBeUndefined();
    reservation?.release();
    reservation?.release();
    expect(fleet.freeFor({ profile: "echo" })).toBe(1);
    expect(fleet.choose(aSession("b"))).toBeDefined();
  });

  test("gives the canary's agents to its share, and then those of other versions rather than none", () => {
    const hosts = [
      host("a", { warm: 3, max: 3, version: "v1" }),
      host("b", { warm: 1, max: 1, version: "v2" }),
    ];
    const { fleet } = fleetWith({ version: "v2", share: 1 }, ...hosts);
    expect([1, 2].map((n) => fleet.choose(aSession(`s${n}`))?.choice.host)).toEqual(["b", "a"]);
    expect(fleet.freeFor({ profile: "echo" })).toBe(2);
  });

  test("excludes a host that is gone until its next update", () => {
    const { fleet, update } = fleetOf(host("h", { warm: 1 }));
    fleet.excludeUntilUpdate("h");
    expect(fleet.choose(aSession("a"))).toBeUndefined();
    expect(fleet.freeFor({ profile: "echo" })).toBe(0);
    update(host("h", { warm: 1 }, { sequence: 2 }));
    expect(fleet.choose(aSession("a"))).toBeDefined();
  });
});
