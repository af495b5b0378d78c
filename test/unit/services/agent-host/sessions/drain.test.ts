// How a host is emptied: its sessions go to others without a failure, and none is left alone on the way.
import { afterEach, describe, expect, test } from "vitest";
import type { Drain as DrainQuestion, HostRecord } from "../../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { drainCommand, undrainCommand } from "../../../../../libs/contracts/streams.ts";
import { commandsFor } from "../../../../../libs/domain/session/commands-for.ts";
import { reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { Drain } from "../../../../../services/agent-host/sessions/drain.ts";
import { watchFencing } from "../../../../../services/agent-host/sessions/fencing.ts";
import { poolScene } from "../../../../kit/fakes/scripted-processes.ts";
import { chosen, dispatched, fromHost, joined, lost, ready } from "../../../../kit/fixtures/session-moves.ts";
import { aHost } from "../../../../kit/fixtures/sessions.ts";
import { createSimClock } from "../../../../kit/sim-clock.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

const handedOver = (record: SessionRecord): SessionRecord =>
  reduceSession(record, fromHost(record, { type: "migrated", reason: "host h1 drains" }));
const does = (record: SessionRecord): string[] => commandsFor(record).map((command) => command.do);

describe("a session that is handed over", () => {
  const serving = () => ready(joined(dispatched()));

  test("waits for the next agent in its room, and has failed in nothing", () => {
    expect(handedOver(serving())).toMatchObject({
      state: "requested",
      attempt: 2,
      failures: 0,
      recovering: true,
      backoffMs: 0,
      room: serving().room,
      avoid: ["h1"],
      previous: { attempt: 1, host: "h1", keepUntilReplaced: true },
    });
  });

  test("goes on however many attempts have failed", () => {
    const last = { ...serving(), failures: 2, maxAttempts: 3 };
    expect(handedOver(last)).toMatchObject({ state: "requested", failures: 2 });
    expect(lost(last)).toMatchObject({ state: "ended", endedReason: "agent_lost" });
  });

  test("keeps its agent until the next one is in the room, who then is the only one", () => {
    const waiting = handedOver(serving());
    expect(does(waiting)).toEqual([]);
    const given = chosen(waiting, "h2");
    expect(does(given)).toEqual(["create_room", "assign"]);
    for (const there of [joined(given), ready(given), ready(joined(given))]) {
      expect(commandsFor(there)).toEqual([
        { do: "release", host: "h1", attempt: 1, reason: "the session goes on with another agent" },
        { do: "remove_participant", room: waiting.room, identity: "agent-s-1" },
      ]);
    }
  });

  test("leaves nobody behind when it ends on the way", () => {
    const record = handedOver(serving());
    const ended = reduceSession(record, {
      type: "end_requested",
      tenant: "t",
      sessionId: "s",
      at: "2026-01-01T00:00:00.000Z",
      endedReason: "completed",
      reason: "the user hung up",
    });
    expect(does(ended)).toEqual(["release", "remove_participant", "delete_room"]);
  });

  test("before its agent was ready begins anew elsewhere, and that agent goes at once", () => {
    for (const record of [dispatched(), joined(dispatched())]) {
      const next = handedOver(record);
      expect(next).toMatchObject({ state: "requested", attempt: 2, failures: 0, recovering: false });
      expect(next.previous?.keepUntilReplaced).toBeUndefined();
      expect(does(next)).toContain("release");
    }
  });

  test("takes no word of it from another host, another life or another attempt", () => {
    const record = serving();
    for (const foreign of [{ host: "h2" }, { epoch: 8 }, { attempt: 2 }]) {
      const said = { ...fromHost(record, { type: "migrated", reason: "x" }), ...foreign } as never;
      expect(reduceSession(record, said)).toBe(record);
    }
  });

  test("lost to a failure after that is given up by the host that kept it", () => {
    const again = lost(chosen(handedOver(serving()), "h2"));
    expect(again).toMatchObject({ state: "requested", attempt: 3, previous: { attempt: 2, host: "h2" } });
    expect(again.previous?.keepUntilReplaced).toBeUndefined();
  });
});

describe("a draining host", () => {
  const able = (
    id: string,
    changed: { max?: number; busy?: number; maxAgents?: number } = {},
  ): HostRecord => {
    const { max = 10, busy = 0, maxAgents = 50 } = changed;
    const echo = { status: "running" as const, warm: 1, hot: 0, warming: 0, busy, max };
    return aHost(id, 1, { maxAgents, profiles: { echo } });
  };
  const scene = (others: HostRecord[]) => {
    const pool = poolScene({ min: 3, max: 10 }, false);
    pool.processes[0]?.say({ type: "loaded", pool: {} });
    pool.warmUp();
    const said: string[] = [];
    const hosts = { others };
    const drain = new Drain({
      clock: pool.clock,
      log: silentLog,
      hostId: "h",
      pools: new Map([["echo", pool.pool]]),
      hosts: () => [able("h"), ...hosts.others],
      migrate: ({ sessionId }) => said.push(sessionId),
      onChange: () => {},
    });
    return { ...pool, drain, said, hosts };
  };

  test("lets its idle agents go, and hands nothing over before its time", async () => {
    const { clock, drain, give, numbers, said, processes } = scene([able("h2")]);
    give("a");
    drain.begin({ deadlineMs: 5000, onDeadline: "migrate" });
    expect(drain.isOn).toBe(true);
    expect(processes[0]?.slots("release").length).toBeGreaterThan(0);
    await clock.advance(4900);
    expect(said).toEqual([]);
    await clock.advance(300);
    expect(said).toEqual(["a"]);
    expect(numbers().busy).toBe(1);
  });

  test("says it once, and goes on serving", async () => {
    const { clock, drain, give, said } = scene([able("h2")]);
    give("a");
    give("b");
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(10_000);
    expect(said).toEqual(["a", "b"]);
  });

  test("hands over only what others have room for, and the rest when they have", async () => {
    const { clock, drain, give, said, hosts } = scene([able("h2", { max: 3, busy: 2 })]);
    for (const sessionId of ["a", "b", "c"]) give(sessionId);
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(5000);
    expect(said).toEqual(["a"]);
    hosts.others = [able("h2", { max: 10, busy: 3 })];
    await clock.advance(500);
    expect(said).toEqual(["a", "b", "c"]);
  });

  test("keeps what nobody else could serve", async () => {
    const { clock, drain, give, said } = scene([{ ...able("h2"), draining: true }]);
    give("a");
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(60_000);
    expect(said).toEqual([]);
    expect(drain.canMigrate).toBe(false);
  });

  test("that waits hands nothing over", async () => {
    const { clock, drain, give, said } = scene([able("h2")]);
    give("a");
    drain.begin({ deadlineMs: 0, onDeadline: "wait" });
    await clock.advance(3_600_000);
    expect(said).toEqual([]);
  });

  test("takes sessions again, and fills its pool, when that is undone in time", async () => {
    const { clock, drain, give, numbers, said, warmUp } = scene([able("h2")]);
    give("a");
    drain.begin({ deadlineMs: 5000, onDeadline: "migrate" });
    await clock.advance(1000);
    drain.undo();
    expect(drain.isOn).toBe(false);
    warmUp();
    await clock.advance(60_000);
    expect(said).toEqual([]);
    expect(numbers().warm).toBe(3);
    expect(give("b")).toBeDefined();
  });
});

describe("a host looks at its sessions' records", () => {
  const looking = () => {
    const clock = createSimClock();
    const own = clock.forProcess();
    const world = { connected: true, fails: false, checks: 0, atMs: [] as number[] };
    const stop = watchFencing(
      { bus: { isConnected: () => world.connected }, clock: own, log: silentLog },
      async () => {
        world.checks += 1;
        if (world.fails) throw new Error("NATS is away");
        world.atMs.push(clock.monotonic());
      },
    );
    return { clock, own, world, stop };
  };

  test("steadily", async () => {
    const { clock, world, stop } = looking();
    await clock.advance(20_100);
    expect(world.checks).toBe(10);
    stop();
    await clock.advance(20_000);
    expect(world.checks).toBe(10);
  });

  test("at once when it was stopped and goes on, and until it could", async () => {
    const { clock, own, world } = looking();
    await clock.advance(2100);
    own.pause();
    await clock.advance(1850);
    world.fails = true;
    own.resume();
    await clock.advance(700);
    world.fails = false;
    await clock.advance(300);
    const [, looked = 0] = world.atMs;
    expect(looked).toBeGreaterThan(4600);
    expect(looked).toBeLessThan(5000);
  });

  test("at once when its connection is back", async () => {
    const { clock, world } = looking();
    await clock.advance(2100);
    world.connected = false;
    await clock.advance(500);
    world.connected = true;
    await clock.advance(300);
    expect(world.atMs).toHaveLength(2);
  });
});

describe("over HTTP", () => {
  let rig: Rig;
  afterEach(() => rig.stop());

  test("a host is told to drain, and to take sessions again", async () => {
    rig = await startRig();
    const asked: DrainQuestion[] = [];
    await rig.bus.core.serve(drainCommand, "host-1", async (options) => {
      asked.push(options);
      return { draining: true, sessions: 4 };
    });
    await rig.bus.core.serve(undrainCommand, "host-1", async () => ({ draining: false, sessions: 4 }));
    const answer = await rig.post("/api/hosts/host-1/drain", { deadlineS: 1.5 });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ success: true, host: "host-1", draining: true, sessions: 4 });
    await rig.post("/api/hosts/host-1/drain", { deadlineS: 0, onDeadline: "wait" });
    expect(asked).toEqual([
      { deadlineMs: 1500, onDeadline: "migrate" },
      { deadlineMs: 0, onDeadline: "wait" },
    ]);
    const undone = await rig.remove("/api/hosts/host-1/drain");
    expect(undone.status).toBe(200);
    expect(undone.body).toMatchObject({ host: "host-1", draining: false, sessions: 4 });
  });

  test("a host that there isn't is not found, and the answer names those that there are", async () => {
    rig = await startRig();
    const { status, body } = await rig.post("/api/hosts/nobody/drain", { deadlineS: 1 });
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ code: "not_found" });
    expect(body.error.message).toContain("host-1");
  });

  test.each([
    [{}],
    [{ deadlineS: -1 }],
    [{ deadlineS: 1, onDeadline: "now" }],
    [{ deadlineS: 1, force: true }],
  ])("%j is refused", async (body) => {
    rig = await startRig();
    const answer = await rig.post("/api/hosts/host-1/drain", body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe("invalid_request");
  });
});
