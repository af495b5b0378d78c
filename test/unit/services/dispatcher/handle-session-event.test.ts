// The dispatcher's handling of one event, also when hosts decline, fail or are slow.
import { describe, expect, test } from "vitest";
import { MAX_DELIVERIES } from "../../../../libs/bus/delivery-rules.ts";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import type { Assign, AssignAnswer, HostProfile } from "../../../../libs/contracts/fleet/host.ts";
import type { SessionEvent, SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { assignCommand, releaseCommand } from "../../../../libs/contracts/streams.ts";
import type { LiveKit } from "../../../../libs/livekit/rooms.ts";
import { simulatedRooms } from "../../../../libs/livekit/simulated-rooms.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { CircuitBreaker } from "../../../../services/dispatcher/circuit-breaker.ts";
import {
  type DispatchDeps,
  handleSessionEvent,
  inReadingOrder,
} from "../../../../services/dispatcher/handle-session-event.ts";
import { HostReservations } from "../../../../services/dispatcher/host-reservations.ts";
import { RecordCache } from "../../../../services/dispatcher/record-cache.ts";
import { AT, aHost, anEvent, aSession, defaults } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

type Answer = AssignAnswer["verdict"] | "silence" | "failure";

const echo: HostProfile = { status: "running", warm: 5, hot: 0, warming: 0, busy: 0, max: 9 };

/** A dispatcher with scripted hosts: each gives its answers one after the other, then accepts. */
async function scene(answers: Record<string, Answer[] | "gone">, changed: Partial<DispatchDeps> = {}) {
  const { clock, server, connect, outcome } = world();
  const bus = connect("dispatcher");
  const log: string[] = [];
  const rooms = simulatedRooms(() => 0);
  const token = async () => "token";
  const livekit: LiveKit = {
    rooms,
    tokens: { forUser: token, forAgent: token },
    url: "",
    publicUrl: "",
    apiKey: "",
    apiSecret: "",
    isSimulated: false,
  };
  const record = () => server.entries(sessions)[0]?.value as SessionRecord;
  const assigns: Assign[] = [];
  for (const [id, answersOfHost] of Object.entries(answers)) {
    if (answersOfHost === "gone") continue;
    const host = connect(id);
    await host.core.serve(assignCommand, id, (assign) => {
      assigns.push(assign);
      log.push(`${id} is assigned ${assign.attempt}, saved as ${record()?.state} ${record()?.attempt}`);
      const answer = answersOfHost.shift() ?? "accepted";
      if (answer === "silence") return new Promise(() => {});
      if (answer === "failure") return Promise.reject(new Error("it broke"));
      return Promise.resolve(answer === "accepted" ? { verdict: answer } : { verdict: answer, reason: "so" });
    });
    await host.core.serve(releaseCommand, id, async ({ attempt }) => {
      log.push(`${id} releases ${attempt}`);
      return { released: true };
    });
  }
  await clock.flush();
  const known = Object.keys(answers).map((id) => aHost(id, 1, { maxAgents: 9, profiles: { echo } }));
  const circuitBreaker = new CircuitBreaker(() => clock.monotonic());
  const view = { all: () => known, get: (id: string) => known.find((host) => host.hostId === id) };
  const fleet = new HostReservations(view, circuitBreaker, () => undefined);
  let writes = 0;
  const deps: DispatchDeps = {
    bus,
    clock,
    log: silentLog,
    livekit,
    reservations: fleet,
    circuitBreaker,
    defaults,
    excludeUntilUpdate: (id) => fleet.excludeUntilUpdate(id),
    isRoomReused: () => false,
    nextWriteId: () => `op-${++writes}`,
    recordCache: new RecordCache(10),
    hasOlderWaiting: () => false,
    ...changed,
  };
  const handle = (event: SessionEvent, deliveries = 1) =>
    outcome(handleSessionEvent(deps, event, { subject: "s", sequence: 11, deliveries }));
  const written = () =>
    server
      .written(sessions)
      .map(({ value }) => `${value?.state} ${value?.attempt} ${value?.host ?? ""}`.trim());
  return { server, bus, clock, outcome, deps, handle, log, record, written, assigns, rooms };
}

const by = (host: string, attempt = 1) => ({ tenant: "t", sessionId: "s", at: AT, attempt, host, epoch: 1 });

describe("handleSessionEvent, requested", () => {
  test("persists dispatched before it assigns the session", async () => {
    const { handle, log, written, record, rooms } = await scene({ a: [] });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(log).toEqual(["a is assigned 1, saved as dispatched 1"]);
    expect(written()).toEqual(["dispatched 1 a"]);
    expect(record().queueSeq).toBe(11);
    expect((await rooms.list()).map(({ name }) => name)).toEqual(["session-s"]);
  });

  test("assigns a SIP call to the pool, with the identity of the callee", async () => {
    const { handle, assigns, record } = await scene({ a: [] });
    await handle(anEvent("s", { provider: "sip", call: { to: "+15550100" } }));
    expect(record()).toMatchObject({ state: "dispatched", host: "a", call: { to: "+15550100" } });
    expect(assigns[0]).toMatchObject({ callee: "phone-s", room: "session-s", token: "token" });
    await handle(anEvent("other"));
    expect(assigns[1]).not.toHaveProperty("callee");
  });

  test("assigns to the next host when one declines, with a new attempt and no failure", async () => {
    const { handle, log, record } = await scene({ a: ["declined"], b: ["stale"], c: [] });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(log).toHaveLength(3);
    expect(record()).toMatchObject({ state: "dispatched", host: "c", attempt: 3, failures: 0 });
  });

  test("leaves the session waiting when every host declines", async () => {
    const { handle, record } = await scene({ a: ["declined"], b: ["declined"] });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(record()).toMatchObject({ state: "requested", attempt: 3, failures: 0 });
    expect(record()).not.toHaveProperty("host");
  });

  test("stops offering a session to a host that has agents and declines again and again", async () => {
    const { handle, record, assigns } = await scene(
      { a: ["declined", "declined", "declined", "declined"] },
      { excludeUntilUpdate: () => {} },
    );
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(assigns).toHaveLength(2);
    expect(record()).toMatchObject({ state: "requested", attempt: 3, failures: 0, backoffMs: 200 });
  });

  test("assigns nothing while older sessions wait", async () => {
    const { handle, log, record } = await scene({ a: [] }, { hasOlderWaiting: () => true });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(log).toEqual([]);
    expect(record().state).toBe("requested");
  });

  test("assigns to another host at once when a host is gone", async () => {
    const { handle, record, log } = await scene({ a: "gone", z: [] });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(log).toEqual(["z is assigned 2, saved as dispatched 2"]);
    expect(record()).toMatchObject({ host: "z", failures: 0 });
    expect(record().history.map(({ reason }) => reason)).toContain("a is gone: nobody answers for it");
  });

  test("assigns to another host when one is silent, without a failure, and releases the silent one", async () => {
    const { handle, log, record } = await scene({ a: ["silence"], z: [] });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(record()).toMatchObject({ state: "dispatched", host: "z", attempt: 2, failures: 0 });
    expect(record().history.map(({ reason }) => reason)).toContain("a did not answer in time");
    expect(log[0]).toBe("a is assigned 1, saved as dispatched 1");
    expect(log.slice(1).sort()).toEqual(["a releases 1", "z is assigned 2, saved as dispatched 2"]);
  });

  test("counts a failure when the host fails, waits for the backoff, and releases that host", async () => {
    const { handle, log, record } = await scene({ a: ["failure"], b: [] });
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(record()).toMatchObject({ state: "requested", attempt: 2, failures: 1, backoffMs: 200 });
    expect(record().history.at(-1)?.reason).toMatch(/^assigning to a failed after \d+ ms: .*it broke/);
    expect(log).toEqual(["a is assigned 1, saved as dispatched 1", "a releases 1"]);
  });

  test("repeats the same assign for a redelivered event, and writes nothing", async () => {
    const { handle, assigns, written } = await scene({ a: [] });
    await handle(anEvent("s"));
    expect(await handle(anEvent("s"), 2)).toBe("ack");
    expect(assigns).toHaveLength(2);
    expect(assigns[1]).toEqual(assigns[0]);
    expect(written()).toHaveLength(1);
  });

  test("ends the session after the last failed attempt, and releases its room and agent", async () => {
    const { handle, record, log, rooms } = await scene(
      { a: ["failure"] },
      {
        defaults: { ...defaults, maxAttempts: 1 },
      },
    );
    expect(await handle(anEvent("s"))).toBe("ack");
    expect(record()).toMatchObject({ state: "ended", endedReason: "join_timeout", failures: 1 });
    expect(log).toContain("a releases 1");
    expect(await rooms.list()).toEqual([]);
  });
});

describe("handleSessionEvent, requested from a provider", () => {
  test.each(["livekit", "webhook"] as const)(
    "creates a room for %s, without a token for its agent",
    async (name) => {
      const { handle, assigns, record, rooms } = await scene({ a: [], [`provider-${name}`]: [] });
      expect(await handle(anEvent("s", { provider: name }))).toBe("ack");
      expect(record()).toMatchObject({ state: "dispatched", host: `provider-${name}`, hostEpoch: 1 });
      expect(assigns).toHaveLength(1);
      expect(assigns[0]).toMatchObject({ requestedWarmth: "cold", room: "session-s", epoch: 1 });
      expect(assigns[0]).not.toHaveProperty("token");
      expect((await rooms.list()).map(({ name: room }) => room)).toEqual(["session-s"]);
    },
  );

  test("requests nothing from LiveKit for vapi, which works without LiveKit", async () => {
    const { handle, record, log } = await scene({ "provider-vapi": [] }, { livekit: undefined });
    expect(await handle(anEvent("s", { provider: "vapi" }))).toBe("ack");
    expect(record()).toMatchObject({ state: "dispatched", host: "provider-vapi" });
    expect(log).toEqual(["provider-vapi is assigned 1, saved as dispatched 1"]);
    await handle({ ...by("provider-vapi"), type: "user_left" });
    expect(log.at(-1)).toBe("provider-vapi releases 1");
  });

  test("assigns a sip session to the pool", async () => {
    const { handle, record } = await scene({ a: [], "provider-sip": [] });
    expect(await handle(anEvent("s", { provider: "sip" }))).toBe("ack");
    expect(record().host).toBe("a");
  });

  test("waits with growing backoff while no providers service answers, and tries no host", async () => {
    const { handle, record, log } = await scene({ a: [], "provider-livekit": "gone" });
    await handle(anEvent("s", { provider: "livekit" }));
    const pauses = [record().backoffMs];
    for (let attempt = 2; attempt < 7; attempt++) {
      const retry = { type: "retry_requested" as const, tenant: "t", sessionId: "s", at: AT, attempt };
      await handle(retry);
      pauses.push(record().backoffMs);
    }
    expect(pauses).toEqual([500, 1000, 2000, 4000, 5000, 5000]);
    expect(record()).toMatchObject({ state: "requested", attempt: 7, failures: 0 });
    expect(log).toEqual([]);
  });
});

describe("handleSessionEvent", () => {
  test("naks an event that overtakes its request", async () => {
    const { handle, written } = await scene({ a: [] });
    const ready = { room: "r", identity: "i", warm: "warm" as const, tookMs: 1 };
    expect(await handle({ ...by("a"), ...ready, type: "ready" })).toBe("nak");
    expect(written()).toEqual([]);
  });

  test("writes nothing for an event of an old attempt, but repeats the record's commands", async () => {
    const { handle, written, log } = await scene({ a: ["declined"], b: [] });
    await handle(anEvent("s"));
    const before = written();
    expect(await handle({ ...by("a", 1), type: "agent_lost", reason: "late" } as SessionEvent)).toBe("ack");
    expect(written()).toEqual(before);
    expect(log.at(-1)).toBe("b is assigned 2, saved as dispatched 2");
  });

  test("applies an event to the stored record when the cached one is old", async () => {
    const { handle, bus, outcome, record, deps } = await scene({ a: [] });
    await handle(anEvent("s"));
    const present = await outcome(bus.kv.get(sessions, "t.s"));
    const joined = { ...(present?.value as SessionRecord), state: "joined" as const, writeId: "another's" };
    await outcome(bus.kv.update(sessions, joined, present?.revision ?? 0));
    expect(deps.recordCache.get("t.s")?.record.state).toBe("dispatched");
    await handle({ ...by("a"), type: "user_left" });
    expect(record()).toMatchObject({ state: "ended", endedReason: "cancelled" });
  });

  test("fails while the store is unavailable, and changes nothing until it is back", async () => {
    const { handle, server, written, log } = await scene({ a: [] });
    server.setFaults({ refuse: 1 });
    await expect(handle(anEvent("s"))).rejects.toMatchObject({ code: "storage_unavailable" });
    expect(log).toEqual([]);
    server.calm();
    expect(await handle(anEvent("s"), 2)).toBe("ack");
    expect(written()).toEqual(["dispatched 1 a"]);
  });

  test("retries only the waiting attempt on retry_requested", async () => {
    const { handle, outcome, bus, record } = await scene({ a: [] });
    const waiting = aSession("s", { attempt: 3, backoffMs: 400, failures: 1 });
    await outcome(bus.kv.update(sessions, waiting, 0));
    const retry = { type: "retry_requested" as const, tenant: "t", sessionId: "s", at: AT };
    await handle({ ...retry, attempt: 2 });
    expect(record().state).toBe("requested");
    await handle({ ...retry, attempt: 3 });
    expect(record()).toMatchObject({ state: "dispatched", attempt: 3, host: "a" });
  });
});

test("puts the attempt first and the state last in a stored record, for lists of revisions", () => {
  const record = aSession("s", { state: "ready", attempt: 2 });
  const text = JSON.stringify(inReadingOrder(record));
  expect(text).toMatch(/^\{"attempt":2,/);
  expect(text).toMatch(/"state":"ready"\}$/);
  expect(JSON.parse(text)).toEqual(record);
});

test("naks an end before its request, and acks it at the last delivery", async () => {
  const { handle, written } = await scene({ a: [] });
  const address = { tenant: "t", sessionId: "s", at: AT };
  const end = { ...address, type: "end_requested", endedReason: "cancelled", reason: "canceled" } as const;
  expect(await handle(end)).toBe("nak");
  expect(await handle(end, MAX_DELIVERIES - 1)).toBe("nak");
  expect(await handle(end, MAX_DELIVERIES)).toBe("ack");
  const left = { ...by("a"), type: "user_left" } as const;
  expect(await handle(left, MAX_DELIVERIES)).toBe("nak");
  expect(written()).toEqual([]);
});

test.each([
  [true, ["lobby"]],
  [false, []],
])("deletes the empty room of an ended session, unless another one uses it: %s", async (isReused, left) => {
  const { handle, rooms } = await scene({ a: [] }, { isRoomReused: () => isReused });
  await handle(anEvent("s", { room: "lobby" }));
  const address = { tenant: "t", sessionId: "s", at: AT };
  await handle({ ...address, type: "end_requested", endedReason: "completed", reason: "ended by the API" });
  expect((await rooms.list()).map(({ name }) => name)).toEqual(left);
});
