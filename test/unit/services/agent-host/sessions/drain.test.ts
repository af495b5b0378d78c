// A host's drain: its sessions migrate without a failure, and none of them is without an agent on the way.
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

const migrated = (record: SessionRecord): SessionRecord =>
  reduceSession(record, fromHost(record, { type: "migrated", reason: "host h1 drains" }));
const actionsOf = (record: SessionRecord): string[] => commandsFor(record).map((command) => command.do);

describe("a migrated session", () => {
  const serving = () => ready(joined(dispatched()));

  test("waits for the next agent in its room, without a failure", () => {
    expect(migrated(serving())).toMatchObject({
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

  test("goes on even if all failures are used up", () => {
    const last = { ...serving(), failures: 2, maxAttempts: 3 };
    expect(migrated(last)).toMatchObject({ state: "requested", failures: 2 });
    expect(lost(last)).toMatchObject({ state: "ended", endedReason: "agent_lost" });
  });

  test("keeps its agent until the next one is in the room, and then releases it", () => {
    const waiting = migrated(serving());
    expect(actionsOf(waiting)).toEqual([]);
    const given = chosen(waiting, "h2");
    expect(actionsOf(given)).toEqual(["create_room", "assign"]);
    for (const there of [joined(given), ready(given), ready(joined(given))]) {
      expect(commandsFor(there)).toEqual([
        { do: "release", host: "h1", attempt: 1, reason: "the session goes on with another agent" },
        { do: "remove_participant", room: waiting.room, identity: "agent-s-1" },
      ]);
    }
  });

  test("releases its agent when it ends on the way", () => {
    const record = migrated(serving());
    const ended = reduceSession(record, {
      type: "end_requested",
      tenant: "t",
      sessionId: "s",
      at: "2026-01-01T00:00:00.000Z",
      endedReason: "completed",
      reason: "the user hung up",
    });
    expect(actionsOf(ended)).toEqual(["release", "remove_participant", "delete_room"]);
  });

  test("starts again elsewhere, and releases its agent at once, if that was not ready", () => {
    for (const record of [dispatched(), joined(dispatched())]) {
      const next = migrated(record);
      expect(next).toMatchObject({ state: "requested", attempt: 2, failures: 0, recovering: false });
      expect(next.previous?.keepUntilReplaced).toBeUndefined();
      expect(actionsOf(next)).toContain("release");
    }
  });

  test("ignores the event of another host, epoch or attempt", () => {
    const record = serving();
    for (const foreign of [{ host: "h2" }, { epoch: 8 }, { attempt: 2 }]) {
      const migrations = { ...fromHost(record, { type: "migrated", reason: "x" }), ...foreign } as never;
      expect(reduceSession(record, migrations)).toBe(record);
    }
  });

  test("loses its kept agent when the next attempt fails", () => {
    const again = lost(chosen(migrated(serving()), "h2"));
    expect(again).toMatchObject({ state: "requested", attempt: 3, previous: { attempt: 2, host: "h2" } });
    expect(again.previous?.keepUntilReplaced).toBeUndefined();
  });
});

describe("Drain", () => {
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
    pool.processes[0]?.emit({ type: "loaded", pool: {} });
    pool.warmUp();
    const migrations: string[] = [];
    const hosts = { others };
    const drain = new Drain({
      clock: pool.clock,
      log: silentLog,
      hostId: "h",
      pools: new Map([["echo", pool.pool]]),
      hosts: () => [able("h"), ...hosts.others],
      migrate: ({ sessionId }) => migrations.push(sessionId),
      onChange: () => {},
    });
    return { ...pool, drain, migrations, hosts };
  };

  test("releases idle agents, and migrates nothing before the deadline", async () => {
    const { clock, drain, give, numbers, migrations, processes } = scene([able("h2")]);
    give("a");
    drain.begin({ deadlineMs: 5000, onDeadline: "migrate" });
    expect(drain.isOn).toBe(true);
    expect(processes[0]?.slots("release").length).toBeGreaterThan(0);
    await clock.advance(4900);
    expect(migrations).toEqual([]);
    await clock.advance(300);
    expect(migrations).toEqual(["a"]);
    expect(numbers().busy).toBe(1);
  });

  test("migrates each session once, and goes on serving it", async () => {
    const { clock, drain, give, migrations } = scene([able("h2")]);
    give("a");
    give("b");
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(10_000);
    expect(migrations).toEqual(["a", "b"]);
  });

  test("migrates only as many sessions as other hosts can take, and the rest later", async () => {
    const { clock, drain, give, migrations, hosts } = scene([able("h2", { max: 3, busy: 2 })]);
    for (const sessionId of ["a", "b", "c"]) give(sessionId);
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(5000);
    expect(migrations).toEqual(["a"]);
    hosts.others = [able("h2", { max: 10, busy: 3 })];
    await clock.advance(500);
    expect(migrations).toEqual(["a", "b", "c"]);
  });

  test("keeps sessions that no other host could serve", async () => {
    const { clock, drain, give, migrations } = scene([{ ...able("h2"), draining: true }]);
    give("a");
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(60_000);
    expect(migrations).toEqual([]);
    expect(drain.canMigrate).toBe(false);
  });

  test("migrates nothing if sessions may wait", async () => {
    const { clock, drain, give, migrations } = scene([able("h2")]);
    give("a");
    drain.begin({ deadlineMs: 0, onDeadline: "wait" });
    await clock.advance(3_600_000);
    expect(migrations).toEqual([]);
  });

  test("accepts sessions again and refills the pool when it is undone", async () => {
    const { clock, drain, give, numbers, migrations, warmUp } = scene([able("h2")]);
    give("a");
    drain.begin({ deadlineMs: 5000, onDeadline: "migrate" });
    await clock.advance(1000);
    drain.undo();
    expect(drain.isOn).toBe(false);
    warmUp();
    await clock.advance(60_000);
    expect(migrations).toEqual([]);
    expect(numbers().warm).toBe(3);
    expect(give("b")).toBeDefined();
  });
});

describe("watchFencing", () => {
  const watchScene = () => {
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

  test("checks the records regularly", async () => {
    const { clock, world, stop } = watchScene();
    await clock.advance(20_100);
    expect(world.checks).toBe(10);
    stop();
    await clock.advance(20_000);
    expect(world.checks).toBe(10);
  });

  test("checks at once after a pause of the process, and retries until it succeeds", async () => {
    const { clock, own, world } = watchScene();
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

  test("checks at once when its connection is back", async () => {
    const { clock, world } = watchScene();
    await clock.advance(2100);
    world.connected = false;
    await clock.advance(500);
    world.connected = true;
    await clock.advance(300);
    expect(world.atMs).toHaveLength(2);
  });
});

describe("/api/hosts/:id/drain", () => {
  let rig: Rig;
  afterEach(() => rig.stop());

  test("drains a host, and undoes that", async () => {
    rig = await startRig();
    const requests: DrainQuestion[] = [];
    await rig.bus.core.serve(drainCommand, "host-1", async (options) => {
      requests.push(options);
      return { draining: true, sessions: 4 };
    });
    await rig.bus.core.serve(undrainCommand, "host-1", async () => ({ draining: false, sessions: 4 }));
    const answer = await rig.post("/api/hosts/host-1/drain", { deadlineS: 1.5 });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ success: true, host: "host-1", draining: true, sessions: 4 });
    await rig.post("/api/hosts/host-1/drain", { deadlineS: 0, onDeadline: "wait" });
    expect(requests).toEqual([
      { deadlineMs: 1500, onDeadline: "migrate" },
      { deadlineMs: 0, onDeadline: "wait" },
    ]);
    const undone = await rig.remove("/api/hosts/host-1/drain");
    expect(undone.status).toBe(200);
    expect(undone.body).toMatchObject({ host: "host-1", draining: false, sessions: 4 });
  });

  test("is 404 for an unknown host, naming the known ones", async () => {
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
  ])("rejects %j", async (body) => {
    rig = await startRig();
    const answer = await rig.post("/api/hosts/host-1/drain", body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe("invalid_request");
  });
});
