// The choice of a host, reservations, and the order in which waiting sessions are retried.
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

describe("HostReservations", () => {
  const fleetOf = (...hosts: HostRecord[]) => {
    const known = new Map(hosts.map((each) => [each.hostId, each]));
    return {
      fleet: new HostReservations({ all: () => [...known.values()], get: (id) => known.get(id) }),
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

  test("excludes a host that is gone until its next update", () => {
    const { fleet, update } = fleetOf(host("h", { warm: 1 }));
    fleet.excludeUntilUpdate("h");
    expect(fleet.choose(aSession("a"))).toBeUndefined();
    expect(fleet.freeFor({ profile: "echo" })).toBe(0);
    update(host("h", { warm: 1 }, { sequence: 2 }));
    expect(fleet.choose(aSession("a"))).toBeDefined();
  });
});

describe("WaitQueue", () => {
  async function scene(records: SessionRecord[]) {
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
    const queue = new WaitQueue({
      bus,
      clock,
      log: silentLog,
      sessions: view,
      freeFor: () => state.free,
    });
    const retried = () => server.stored(sessionEvents).map(({ message }) => message.sessionId);
    return { clock, server, state, save, waiting: queue, retried };
  }

  test("retries as many sessions as agents are free, in the order of the stream, not of clocks", async () => {
    const at = (time: string) => [{ state: "requested" as const, at: time, attempt: 1 }];
    const {
      clock,
      state,
      waiting: queue,
      retried,
    } = await scene([
      aSession("third", { queueSeq: 9, history: at("2025-01-01T00:00:00Z") }),
      aSession("first", { queueSeq: 2, history: at("2026-01-01T02:00:00Z") }),
      aSession("second", { queueSeq: 5, history: at("2026-01-01T01:00:00Z") }),
    ]);
    expect(retried()).toEqual([]);
    state.free = 2;
    queue.check();
    await clock.advance(10);
    expect(retried()).toEqual(["first", "second"]);
  });

  test("checks every second, so that a lost update costs no more", async () => {
    const { clock, state, retried } = await scene([aSession("a", { queueSeq: 1 })]);
    await clock.advance(900);
    state.free = 1;
    await clock.advance(1200);
    expect(retried()).toContain("a");
  });

  test("retries a failed session after its backoff, not before", async () => {
    const {
      clock,
      state,
      waiting: queue,
      retried,
    } = await scene([aSession("a", { queueSeq: 1, backoffMs: 800 })]);
    state.free = 1;
    queue.check();
    await clock.advance(700);
    expect(retried()).toEqual([]);
    await clock.advance(200);
    expect(retried()).toEqual(["a"]);
  });

  test("retries a session once a second at most, and repeats an event that was not stored", async () => {
    const { clock, server, state, waiting: queue, retried } = await scene([aSession("a", { queueSeq: 1 })]);
    state.free = 1;
    for (let turn = 0; turn < 5; turn++) {
      queue.check();
      await clock.advance(10);
    }
    expect(retried()).toEqual(["a"]);
    server.setFaults({ refuse: 1 });
    await clock.advance(2000);
    expect(retried()).toEqual(["a"]);
    server.calm();
    await clock.advance(1500);
    expect(retried().length).toBeGreaterThan(1);
  });

  test("ignores dispatched sessions", async () => {
    const { clock, state, save, waiting: queue, retried } = await scene([aSession("a", { queueSeq: 1 })]);
    await save(aSession("a", { queueSeq: 1, state: "dispatched", host: "h", hostEpoch: 1 }));
    state.free = 1;
    queue.check();
    await clock.advance(3000);
    expect(retried()).toEqual([]);
  });
});
