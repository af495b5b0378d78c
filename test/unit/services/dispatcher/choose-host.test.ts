// Which host a session goes to, what is promised meanwhile, and in which order those who wait are woken.
import { describe, expect, test } from "vitest";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import type { HostProfile, HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../../libs/contracts/streams.ts";
import { watchSessions } from "../../../../libs/fleet/session-view.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { chooseHost } from "../../../../services/dispatcher/choose-host.ts";
import { HostReservations } from "../../../../services/dispatcher/host-reservations.ts";
import { WaitQueue } from "../../../../services/dispatcher/wait-queue.ts";
import { aHost, aSession } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

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

describe("a session goes to", () => {
  const cold = host("cold", { max: 4 });
  const warm = host("warm", { warm: 1 });
  const hot = host("hot", { hot: 1 });

  test("a hot agent before a warm one before a cold one", () => {
    const record = aSession("s");
    expect(chooseHost([cold, warm, hot], record)).toMatchObject({ host: "hot", requestedWarmth: "hot" });
    expect(chooseHost([cold, warm], record)).toMatchObject({ host: "warm", requestedWarmth: "warm" });
    expect(chooseHost([cold], record)).toMatchObject({ host: "cold", requestedWarmth: "cold" });
    expect(chooseHost([], record)).toBeUndefined();
  });

  test("an agent that comes into its room, when it has one: a hot one is then as good as a warm one", () => {
    for (const record of [aSession("s", { roomIsNamed: true }), aSession("s", { recovering: true })])
      expect(chooseHost([hot], record)).toMatchObject({ host: "hot", requestedWarmth: "warm" });
  });

  test("the host with the least load among equals, and by name among equals of those", () => {
    const busy = host("a", { warm: 1 }, { load: 0.5 });
    const idle = host("z", { warm: 1 }, { load: 0.1 });
    expect(chooseHost([busy, idle], aSession("s"))?.host).toBe("z");
    expect(chooseHost([host("b", { warm: 1 }), host("a", { warm: 1 })], aSession("s"))?.host).toBe("a");
  });

  test("a host that just declined it only when there is no other", () => {
    const record = aSession("s", { avoid: ["hot"] });
    expect(chooseHost([hot, cold], record)?.host).toBe("cold");
    expect(chooseHost([hot], record)?.host).toBe("hot");
  });

  test("the host in the life that its record speaks of", () => {
    expect(chooseHost([host("h", { warm: 1 }, { epoch: 42 })], aSession("s"))?.epoch).toBe(42);
  });
});

describe("a fleet", () => {
  const fleetOf = (...hosts: HostRecord[]) => {
    const known = new Map(hosts.map((each) => [each.hostId, each]));
    return {
      fleet: new HostReservations({ all: () => [...known.values()], get: (id) => known.get(id) }),
      say: (each: HostRecord) => void known.set(each.hostId, each),
    };
  };

  test("promises each agent once, so that a burst does not go to one", () => {
    const { fleet } = fleetOf(host("h", { warm: 2, max: 3 }));
    const asked = [1, 2, 3, 4].map((n) => fleet.choose(aSession(`s${n}`))?.choice.requestedWarmth);
    expect(asked).toEqual(["warm", "warm", "cold", undefined]);
    expect(fleet.freeFor({ profile: "echo" })).toBe(0);
  });

  test("may promise it again once the host has answered", () => {
    const { fleet } = fleetOf(host("h", { warm: 1, max: 1 }));
    const promised = fleet.choose(aSession("a"));
    expect(fleet.choose(aSession("b"))).toBeUndefined();
    promised?.release();
    promised?.release();
    expect(fleet.freeFor({ profile: "echo" })).toBe(1);
    expect(fleet.choose(aSession("b"))).toBeDefined();
  });

  test("leaves a host alone that was found gone, until it says something new", () => {
    const { fleet, say } = fleetOf(host("h", { warm: 1 }));
    fleet.excludeUntilUpdate("h");
    expect(fleet.choose(aSession("a"))).toBeUndefined();
    expect(fleet.freeFor({ profile: "echo" })).toBe(0);
    say(host("h", { warm: 1 }, { sequence: 2 }));
    expect(fleet.choose(aSession("a"))).toBeDefined();
  });
});

describe("those who wait", () => {
  async function room(records: SessionRecord[]) {
    const { clock, server, connect, outcome } = world();
    const bus = connect("dispatcher");
    const state = { free: 0 };
    const revisions = new Map<string, number>();
    const save = async (record: SessionRecord) => {
      const revision = await outcome(bus.kv.update(sessions, record, revisions.get(record.sessionId) ?? 0));
      revisions.set(record.sessionId, revision ?? 0);
    };
    for (const record of records) await save(record);
    const view = await outcome(watchSessions(bus, clock));
    const waiting = new WaitQueue({
      bus,
      clock,
      log: silentLog,
      sessions: view,
      freeFor: () => state.free,
    });
    const woken = () => server.stored(sessionEvents).map(({ message }) => message.sessionId);
    return { clock, server, state, save, waiting, woken };
  }

  test("are woken as many as there are agents, in the order of the stream and not of clocks", async () => {
    const at = (time: string) => [{ state: "requested" as const, at: time, attempt: 1 }];
    const { clock, state, waiting, woken } = await room([
      aSession("third", { queueSeq: 9, history: at("2025-01-01T00:00:00Z") }),
      aSession("first", { queueSeq: 2, history: at("2026-01-01T02:00:00Z") }),
      aSession("second", { queueSeq: 5, history: at("2026-01-01T01:00:00Z") }),
    ]);
    expect(woken()).toEqual([]);
    state.free = 2;
    waiting.check();
    await clock.advance(10);
    expect(woken()).toEqual(["first", "second"]);
  });

  test("are looked at every second, so a lost announcement costs no more", async () => {
    const { clock, state, woken } = await room([aSession("a", { queueSeq: 1 })]);
    await clock.advance(900);
    state.free = 1;
    await clock.advance(1200);
    expect(woken()).toContain("a");
  });

  test("after a failure are woken when their pause is over, not before", async () => {
    const { clock, state, waiting, woken } = await room([aSession("a", { queueSeq: 1, backoffMs: 800 })]);
    state.free = 1;
    waiting.check();
    await clock.advance(700);
    expect(woken()).toEqual([]);
    await clock.advance(200);
    expect(woken()).toEqual(["a"]);
  });

  test("are woken once a second at most, and again when that could not be stored", async () => {
    const { clock, server, state, waiting, woken } = await room([aSession("a", { queueSeq: 1 })]);
    state.free = 1;
    for (let turn = 0; turn < 5; turn++) {
      waiting.check();
      await clock.advance(10);
    }
    expect(woken()).toEqual(["a"]);
    server.setFaults({ refuse: 1 });
    await clock.advance(2000);
    expect(woken()).toEqual(["a"]);
    server.calm();
    await clock.advance(1500);
    expect(woken().length).toBeGreaterThan(1);
  });

  test("are left alone once they are dispatched", async () => {
    const { clock, state, save, waiting, woken } = await room([aSession("a", { queueSeq: 1 })]);
    await save(aSession("a", { queueSeq: 1, state: "dispatched", host: "h", hostEpoch: 1 }));
    state.free = 1;
    waiting.check();
    await clock.advance(3000);
    expect(woken()).toEqual([]);
  });
});
