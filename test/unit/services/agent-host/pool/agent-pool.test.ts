// A pool of agents in scripted processes: its size, the agents it hands out, and its reaction to failures.
import { describe, expect, test } from "vitest";
import {
  anAssignment,
  load,
  type PoolScene,
  poolScene,
  readyPool,
} from "../../../../kit/fakes/scripted-processes.ts";

describe("AgentPool, size", () => {
  test("keeps the target number of agents, in as few processes as possible", () => {
    const scene = readyPool({ min: 3, perProcess: 2 });
    expect(scene.numbers()).toEqual({ warm: 3, hot: 0, warming: 0, busy: 0 });
    expect(scene.processes.map((child) => child.slots("warm").length)).toEqual([2, 1]);
  });

  test("warms at most four agents at once", () => {
    const scene = poolScene({ min: 6 });
    load(scene);
    expect(scene.processes[0]?.slots("warm")).toHaveLength(4);
    expect(scene.numbers().warming).toBe(6);
    scene.processes[0]?.emit({
      type: "warm",
      slot: scene.processes[0].slots("warm")[0] as string,
      tookMs: 1,
    });
    expect(scene.processes[0]?.slots("warm")).toHaveLength(5);
  });

  test("replaces an agent that is taken, up to the maximum", () => {
    const scene = readyPool({ min: 2, max: 3 });
    scene.give("a");
    expect(scene.numbers()).toEqual({ warm: 1, hot: 0, warming: 1, busy: 1 });
    scene.warmUp();
    scene.give("b");
    expect(scene.numbers()).toEqual({ warm: 1, hot: 0, warming: 0, busy: 2 });
  });

  test("keeps the warmest agents when it shrinks", async () => {
    const scene = readyPool({ min: 3, hot: 1 }, true);
    await scene.clock.flush();
    const hot = scene.processes[0]?.slots("connect_standby")[0] as string;
    scene.processes[0]?.emit({ type: "hot", slot: hot });
    expect(scene.numbers()).toMatchObject({ warm: 2, hot: 1 });
    scene.pool.setTarget({ min: 1, hot: 1, max: 10, perProcess: 10 });
    expect(scene.numbers()).toMatchObject({ warm: 0, hot: 1 });
    expect(scene.processes[0]?.slots("release")).not.toContain(hot);
  });
});

describe("AgentPool, file", () => {
  test("shows for how long its file has been loading", async () => {
    const scene = poolScene({ min: 1 });
    await scene.clock.advance(700);
    expect(scene.pool.profile()).toMatchObject({ status: "stopped", loadingForMs: 700 });
    load(scene);
    expect(scene.pool.profile()).toMatchObject({ status: "running" });
    expect(scene.pool.profile()).not.toHaveProperty("loadingForMs");
  });

  test("shows an error with which each session would fail, until a session is ready", () => {
    const scene = readyPool({ min: 2 });
    const error = { message: "no key", retryable: false };
    const [child] = scene.processes;
    const emitFor = (sessionId: string, what: object) =>
      child?.emit({ slot: scene.give(sessionId)?.id, ...what } as Parameters<typeof child.emit>[0]);
    emitFor("a", { type: "ended", reason: "failed", error: { ...error, retryable: true }, lost: false });
    expect(scene.pool.profile().error).toBeUndefined();
    emitFor("b", { type: "ended", reason: "failed", error, lost: false });
    expect(scene.pool.profile()).toMatchObject({ status: "running", error: "no key" });
    scene.warmUp();
    emitFor("c", { type: "ready", room: "r", identity: "i" });
    expect(scene.pool.profile().error).toBeUndefined();
  });

  test("ends a session at once whose prewarm would always fail", () => {
    const scene = poolScene({ min: 0 });
    load(scene);
    const slot = scene.give("a", "cold");
    scene.processes[0]?.emit({
      type: "warm_failed",
      slot: slot?.id as string,
      error: "no key",
      retryable: false,
    });
    expect(scene.events.join()).toContain("no key");
  });
});

describe("AgentPool, calls and other work", () => {
  test.each([
    { cpuMs: 50, processes: 1, what: "beside a call" },
    { cpuMs: 300, processes: 2, what: "in a process without calls, because that takes long" },
  ])("warms the next agent $what", ({ cpuMs, processes }) => {
    const scene = poolScene({ min: 1 });
    let ranMs = 1000;
    for (const child of scene.processes) child.cpuTimes = () => ({ ranMs, waitedMs: 0 });
    load(scene);
    ranMs += cpuMs;
    scene.warmUp();
    scene.give("a");
    expect(scene.processes).toHaveLength(processes);
    expect(scene.processes[0]?.slots("warm")).toHaveLength(processes === 1 ? 2 : 1);
  });

  test.each([
    { share: 0.9, waits: 0, isReplaced: true },
    { share: 0.1, waits: 0, isReplaced: false },
    { share: 0.3, waits: 0.6, isReplaced: true },
    { share: 0.1, waits: 0.6, isReplaced: false },
  ])(
    "replaces a process that runs after its last session for $share of the time, and waits for a CPU for $waits: $isReplaced",
    async ({ share, waits, isReplaced }) => {
      const scene = readyPool({ min: 1 });
      const { clock } = scene;
      const [child] = scene.processes;
      const now = () => clock.monotonic();
      if (child !== undefined) child.cpuTimes = () => ({ ranMs: now() * share, waitedMs: now() * waits });
      const slot = scene.give("a")?.id ?? "";
      scene.warmUp();
      await clock.advance(30_000);
      expect(child?.isKilled).toBe(false);
      child?.emit({ type: "ended", slot, reason: "done", lost: false });
      child?.emit({ type: "closed", slot });
      await clock.advance(13_000);
      for (const idle of child?.slots("release") ?? []) child?.emit({ type: "closed", slot: idle });
      expect(child?.isKilled).toBe(isReplaced);
      expect(scene.pool.profile().error).toBe(
        isReplaced ? "an agent process stayed busy after its sessions, so it was replaced" : undefined,
      );
    },
  );
});

describe("AgentPool, agents", () => {
  test("provides a hot agent or none when one is requested, because the room depends on it", async () => {
    const scene = readyPool({ min: 1, hot: 1 }, true);
    expect(scene.pool.take("hot", anAssignment("a"))).toBeUndefined();
    await scene.clock.flush();
    scene.processes[0]?.emit({ type: "hot", slot: scene.processes[0].slots("connect_standby")[0] as string });
    expect(scene.give("a", "hot")?.assignment?.warmth).toBe("hot");
    expect(scene.rooms.filter((room) => room.startsWith("-"))).toEqual([]);
  });

  test("provides a hot agent as a warm one too, and discards its standby room", async () => {
    const scene = readyPool({ min: 1, hot: 1 }, true);
    await scene.clock.flush();
    const slot = scene.processes[0]?.slots("connect_standby")[0] as string;
    scene.processes[0]?.emit({ type: "hot", slot });
    expect(scene.give("a", "warm")).toMatchObject({ id: slot, assignment: { warmth: "warm" } });
    expect(scene.rooms).toContain(`-${slot}`);
  });

  test("runs a session on a cold agent as soon as that is warm", () => {
    const scene = readyPool({ min: 0 });
    const slot = scene.give("a", "cold");
    expect(scene.processes[0]?.slots("run")).toEqual([]);
    scene.warmUp();
    expect(scene.processes[0]?.slots("run")).toEqual([slot?.id]);
    expect(scene.numbers()).toMatchObject({ busy: 1, warming: 0 });
  });

  test("never runs an agent that was released before it was warm", () => {
    const scene = readyPool({ min: 0 });
    const slot = scene.give("a", "cold");
    scene.pool.release(slot as NonNullable<typeof slot>, "not wanted any more");
    scene.warmUp();
    expect(scene.processes[0]?.slots("run")).toEqual([]);
    expect(scene.events).toContain("closed a");
    expect(scene.numbers()).toEqual({ warm: 0, hot: 0, warming: 0, busy: 0 });
  });

  test("makes an agent idle again that is given back, with the same warmth", () => {
    const scene = readyPool({ min: 1, max: 1 });
    const slot = scene.pool.take("warm", anAssignment("a"));
    expect(scene.numbers()).toMatchObject({ warm: 0, busy: 1 });
    scene.pool.giveBack(slot as NonNullable<typeof slot>);
    expect(scene.numbers()).toMatchObject({ warm: 1, busy: 0 });
  });

  test("uses an agent once, and replaces it after its release", () => {
    const scene = readyPool({ min: 1, max: 1 });
    const slot = scene.give("a") as NonNullable<ReturnType<typeof scene.give>>;
    scene.pool.release(slot, "over");
    expect(scene.pool.take("warm", anAssignment("b"))).toBeUndefined();
    scene.processes[0]?.emit({ type: "closed", slot: slot.id });
    scene.warmUp();
    expect(scene.events).toContain("closed a");
    expect(scene.give("b")?.id).not.toBe(slot.id);
  });

  test("reports an agent that ended by itself once, but not a released one", () => {
    const scene = readyPool({ min: 2 });
    const [a, b] = [scene.give("a"), scene.give("b")] as NonNullable<ReturnType<typeof scene.give>>[];
    scene.pool.release(b as NonNullable<typeof b>, "over");
    for (const slot of [a, b])
      scene.processes[0]?.emit({ type: "ended", slot: slot?.id as string, reason: "done", lost: false });
    expect(scene.events.filter((line) => line.startsWith("ended"))).toEqual(["ended a: done"]);
  });
});

describe("AgentPool, processes", () => {
  test("loses the sessions of a dead process at once, and replaces its agents", () => {
    const scene = readyPool({ min: 2 });
    scene.give("a");
    scene.processes[0]?.die("exit code 139");
    expect(scene.events).toContain("lost a: exit code 139");
    expect(scene.processes).toHaveLength(2);
    expect(scene.numbers()).toMatchObject({ warming: 2, busy: 0 });
  });

  test("kills a process that misses three pings", async () => {
    const scene = readyPool({ min: 1 });
    scene.give("a");
    scene.warmUp();
    const [child] = scene.processes;
    if (child !== undefined) child.isSilent = true;
    await scene.clock.advance(3500);
    expect(child?.isKilled).toBe(false);
    await scene.clock.advance(1500);
    expect(child?.isKilled).toBe(true);
    expect(scene.events.some((line) => line.startsWith("lost a: the agent process hung"))).toBe(true);
  });

  test("gives a process without CPU time more time, until it runs and still doesn't answer", async () => {
    const scene = readyPool({ min: 1 });
    scene.give("a");
    scene.warmUp();
    const [child] = scene.processes as [(typeof scene.processes)[number]];
    child.isSilent = true;
    let delayMs = 0;
    child.cpuTimes = () => ({ ranMs: scene.clock.monotonic() - delayMs, waitedMs: delayMs });
    for (let second = 0; second < 10; second++) {
      await scene.clock.advance(1000);
      delayMs += 900;
    }
    expect(child.isKilled).toBe(false);
    await scene.clock.advance(12_000);
    expect(child.isKilled).toBe(true);
  });

  test("kills a process that never gets CPU time in the end", async () => {
    const scene = readyPool({ min: 1 });
    scene.give("a");
    scene.warmUp();
    const [child] = scene.processes as [(typeof scene.processes)[number]];
    child.isSilent = true;
    child.cpuTimes = () => ({ ranMs: 0, waitedMs: scene.clock.monotonic() });
    await scene.clock.advance(15_000);
    expect(child.isKilled).toBe(false);
    await scene.clock.advance(10_000);
    expect(child.isKilled).toBe(true);
  });

  test("kills a stopped process within half a second, also while it loads, but not after a short stop", async () => {
    const scene = readyPool({ min: 2 });
    scene.give("a");
    const [child] = scene.processes as [(typeof scene.processes)[number]];
    child.isStopped = true;
    await scene.clock.advance(250);
    child.isStopped = false;
    await scene.clock.advance(250);
    expect(child.isKilled).toBe(false);
    child.isStopped = true;
    expect(scene.numbers().warming).toBe(1);
    await scene.clock.advance(500);
    expect(child.isKilled).toBe(true);
    expect(scene.events.some((line) => line.startsWith("lost a: the agent process hung"))).toBe(true);
  });

  test("tolerates long silence while a process loads", async () => {
    const scene = poolScene({ min: 1 });
    const [child] = scene.processes;
    if (child !== undefined) child.isSilent = true;
    await scene.clock.advance(30_000);
    expect(child?.isKilled).toBe(false);
    await scene.clock.advance(40_000);
    expect(child?.isKilled).toBe(true);
  });

  test("kills a process that exceeds its memory limit", async () => {
    const scene = readyPool({ min: 1 });
    scene.give("a");
    const [child] = scene.processes;
    if (child !== undefined) child.memoryMb = 501;
    await scene.clock.advance(1000);
    expect(child?.isKilled).toBe(true);
    expect(scene.events.some((line) => line.startsWith("lost a: the agent process grew to 501 MB"))).toBe(
      true,
    );
  });

  test("replaces a process that has grown after many sessions, and lets its sessions finish", async () => {
    const scene = readyPool({ min: 1 });
    const [child] = scene.processes;
    if (child !== undefined) child.memoryMb = 400;
    await scene.clock.advance(1000);
    expect(scene.processes).toHaveLength(1);
    for (let turn = 0; turn < 20; turn++) {
      const slot = scene.give(`a${turn}`);
      scene.warmUp();
      child?.emit({ type: "closed", slot: slot?.id ?? "" });
    }
    const last = scene.give("last");
    await scene.clock.advance(1000);
    expect(scene.processes).toHaveLength(2);
    expect(child?.isKilled).toBe(false);
    expect(scene.events.some((line) => line.startsWith("lost"))).toBe(false);
    for (const id of child?.slots("release") ?? []) child?.emit({ type: "closed", slot: id });
    child?.emit({ type: "closed", slot: last?.id ?? "" });
    expect(child?.isKilled).toBe(true);
  });

  test("replaces an unhealthy process, lets its sessions finish, and starts nothing more in it", () => {
    const scene = readyPool({ min: 2 });
    const slot = scene.give("a") as NonNullable<ReturnType<typeof scene.give>>;
    scene.warmUp();
    const [child] = scene.processes;
    child?.emit({ type: "unhealthy", error: "a stray error" });
    expect(child?.slots("release")).not.toContain(slot.id);
    expect(child?.slots("release")).toHaveLength(2);
    expect(scene.processes).toHaveLength(2);
    for (const id of child?.slots("release") ?? []) child?.emit({ type: "closed", slot: id });
    expect(child?.isKilled).toBe(false);
    child?.emit({ type: "closed", slot: slot.id });
    expect(child?.isKilled).toBe(true);
    expect(scene.events.some((line) => line.startsWith("lost"))).toBe(false);
  });
});

describe("AgentPool over two processes", () => {
  /** The number of idle agents in each live process. */
  const idle = ({ pool, processes }: PoolScene) =>
    pool
      .processes()
      .filter(({ pid }) => processes[(pid ?? 0) - 1]?.isKilled === false)
      .map(({ slots }) => slots.filter(({ state }) => state === "warm").length);

  test("keeps idle agents in both processes", () => {
    expect(idle(readyPool({ min: 3 }, false, 2))).toEqual([2, 1]);
  });

  test("starts no second process for a single agent", () => {
    expect(readyPool({ min: 1 }, false, 2).processes).toHaveLength(1);
  });

  test("always has an idle agent outside of the process of the last session", () => {
    const scene = readyPool({ min: 2, max: 30, perProcess: 10 }, false, 2);
    for (let n = 0; n < 8; n++) {
      const slot = scene.give(`s${n}`);
      scene.warmUp();
      for (const child of scene.processes)
        if (child.received.length === 0) child.emit({ type: "loaded", pool: {}, isolation: "shared" });
      scene.warmUp();
      const others = scene.pool.processes().filter(({ id }) => id !== slot?.process.id);
      expect(others.flatMap(({ slots }) => slots).some(({ state }) => state === "warm")).toBe(true);
    }
    expect(scene.processes).toHaveLength(2);
  });

  test("provides a warm agent after a process died, and refills the remaining process as well", () => {
    const scene = readyPool({ min: 3 }, false, 2);
    const lost = scene.give("a");
    scene.warmUp();
    const [dead, left] = lost?.process.id === scene.pool.processes()[0]?.id ? [0, 1] : [1, 0];
    scene.processes[dead]?.die("SIGKILL");
    expect(scene.events).toContain("lost a: SIGKILL");
    const next = scene.give("a again");
    expect(next?.assignment?.warmth).toBe("warm");
    expect(scene.processes[left]?.slots("run")).toContain(next?.id);
    expect(scene.processes).toHaveLength(3);
    const before = scene.processes[left]?.slots("warm").length ?? 0;
    scene.warmUp();
    expect(scene.pool.profile().warm).toBeGreaterThan(0);
    expect(before).toBeGreaterThan(1);
  });

  test("keeps agents in both processes when it shrinks", () => {
    const scene = readyPool({ min: 6 }, false, 2);
    expect(idle(scene)).toEqual([5, 1]);
    scene.pool.setTarget({ min: 2, hot: 0, max: 10, perProcess: 10 });
    expect(idle(scene)).toEqual([1, 1]);
  });
});

test("releases idle agents on a drain, keeps busy ones, and starts no new ones", () => {
  const scene = readyPool({ min: 2 });
  const slot = scene.give("a") as NonNullable<ReturnType<typeof scene.give>>;
  scene.warmUp();
  const made = scene.pool.spawned;
  scene.pool.drain();
  const [child] = scene.processes;
  for (const id of child?.slots("release") ?? []) child?.emit({ type: "closed", slot: id });
  expect(scene.numbers()).toEqual({ warm: 0, hot: 0, warming: 0, busy: 1 });
  expect(child?.slots("release")).not.toContain(slot.id);
  child?.emit({ type: "closed", slot: slot.id });
  expect(scene.pool.spawned).toBe(made);
  expect(scene.pool.status).toBe("stopped");
});
