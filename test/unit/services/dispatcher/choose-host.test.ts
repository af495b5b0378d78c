// The choice of a host for a session.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HostProfile, HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import { chooseHost, isInShare } from "../../../../services/dispatcher/choose-host.ts";
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

  test("chooses a host that is set aside only without alternative", () => {
    const choose = (hosts: HostRecord[], avoid: string[] = []) =>
      chooseHost(hosts, aSession("s", { avoid }), undefined, (id) => id === "hot")?.host;
    expect(choose([hot, cold])).toBe("cold");
    expect(choose([hot, cold], ["cold"])).toBe("cold");
    expect(choose([hot])).toBe("hot");
  });

  test("returns the epoch of the host's record", () => {
    expect(chooseHost([host("h", { warm: 1 }, { epoch: 42 })], aSession("s"))?.epoch).toBe(42);
  });
});

describe("chooseHost with a canary", () => {
  const canary = (share: number) => ({ version: "v2", share });
  const choose = (hosts: HostRecord[], share: number, changed = {}, isSetAside = (_: string) => false) =>
    chooseHost(hosts, aSession("s", changed), undefined, isSetAside, canary(share))?.host;
  const v1 = host("a-v1", { hot: 1, version: "v1" });
  const v2 = host("b-v2", { max: 4, version: "v2" }, { load: 0.9 });

  test("prefers the version to warmth and load, for the sessions of the share and for the others", () => {
    expect(choose([v1, v2], 1)).toBe("b-v2");
    expect(choose([host("a", { hot: 1, version: "v2" }), host("b", { version: "v1" })], 0)).toBe("b");
  });

  test("chooses by warmth and load among hosts with the preferred version", () => {
    const warm = host("c-v2", { warm: 1, version: "v2" });
    expect(choose([v1, v2, warm], 1)).toBe("c-v2");
  });

  test("takes any other free agent if no host with the preferred version has one", () => {
    expect(choose([v1, host("full", { busy: 4, version: "v2" })], 1)).toBe("a-v1");
    expect(choose([v2], 0)).toBe("b-v2");
    expect(choose([host("unknown", { warm: 1 })], 1)).toBe("unknown");
  });

  test("prefers another version after a failure, so that not all attempts of a session use the canary", () => {
    const third = host("c-v2", { warm: 1, version: "v2" });
    expect(choose([v1, v2, third], 1, { failures: 1, avoid: ["b-v2"] })).toBe("a-v1");
    expect(choose([v2, third], 1, { failures: 1, avoid: ["b-v2"] })).toBe("c-v2");
  });

  test("avoids a host that declined or is set aside, whatever its version", () => {
    expect(choose([v1, v2], 1, { avoid: ["b-v2"] })).toBe("a-v1");
    expect(choose([v1, v2], 1, {}, (id) => id === "b-v2")).toBe("a-v1");
  });

  test("chooses a host with a free agent if there is one, and the same as without a canary among equal versions", () => {
    const hosts = fc.uniqueArray(
      fc.record({
        id: fc.constantFrom("a", "b", "c", "d"),
        version: fc.constantFrom("v1", "v2", undefined),
        warm: fc.integer({ min: 0, max: 2 }),
        busy: fc.integer({ min: 0, max: 2 }),
        load: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { selector: ({ id }) => id },
    );
    const arbitraries = [hosts, fc.double({ min: 0, max: 1, noNaN: true }), fc.uuid()] as const;
    fc.assert(
      fc.property(...arbitraries, (drawn, share, id) => {
        const records = drawn.map(({ id, version, warm, busy, load }) =>
          host(id, { warm, busy, max: 2, ...(version === undefined ? {} : { version }) }, { load }),
        );
        const session = aSession(id);
        const chosen = chooseHost(records, session, undefined, undefined, canary(share));
        const plain = chooseHost(records, session);
        expect(chosen === undefined).toBe(plain === undefined);
        const versionOf = (hostId?: string) =>
          records.find((one) => one.hostId === hostId)?.profiles.echo?.version;
        const wanted = records.filter(
          ({ profiles }) => (profiles.echo?.version === "v2") === isInShare(id, share),
        );
        const best = chooseHost(wanted, session) ?? plain;
        expect(chosen).toEqual(best);
        if (chosen !== undefined && chooseHost(wanted, session) !== undefined)
          expect(versionOf(chosen.host) === "v2").toBe(isInShare(id, share));
      }),
    );
  });
});

describe("isInShare", () => {
  test("decides by the id alone, and accepts the share of all ids", () => {
    const ids = Array.from({ length: 20_000 }, (_, n) => `session-${n}`);
    for (const share of [0, 0.05, 0.5, 1]) {
      const inShare = ids.filter((id) => isInShare(id, share));
      expect(Math.abs(inShare.length / ids.length - share)).toBeLessThan(0.01);
      expect(inShare.every((id) => isInShare(id, share))).toBe(true);
    }
  });

  test("keeps the sessions of a share when the share grows", () => {
    fc.assert(
      fc.property(
        fc.uuid(),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (id, a, b) => !isInShare(id, Math.min(a, b)) || isInShare(id, Math.max(a, b)),
      ),
    );
  });
});
