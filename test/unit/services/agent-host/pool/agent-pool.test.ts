// A pool of agents in scripted processes: its size, the agents it hands out, and its reaction to failures.
import { describe, expect, test } from "vitest";
import { anAssignment, type PoolScene, poolScene } from "../../../../kit/fakes/scripted-processes.ts";

const load = ({ processes }: PoolScene) => processes.at(-1)?.emit({ type: "loaded", pool: {} });

/** A pool whose agents are warm. */
function ready(target: Parameters<typeof poolScene>[0], standby = false, spreadOver = 1): PoolScene {
  const scene = poolScene(target, standby, spreadOver);
  load(scene);
  for (let turn = 0; turn < 10; turn++) {
    scene.warmUp();
    for (const child of scene.processes) {
      if (child.received.length === 0) child.emit({ type: "loaded", pool: {} });
    }
  }
  return scene;
}

describe("AgentPool, size", () => {
  test("keeps the target number of agents, in as few processes as possible", () => {
    const scene = ready({ min: 3, perProcess: 2 });
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
    const scene = ready({ min: 2, max: 3 });
    scene.give("a");
    expect(scene.numbers()).toEqual({ warm: 1, hot: 0, warming: 1, busy: 1 });
    scene.warmUp();
    scene.give("b");
    expect(scene.numbers()).toEqual({ warm: 1, hot: 0, warming: 0, busy: 2 });
  });

  test("keeps the warmest agents when it shrinks", async () => {
    const scene = ready({ min: 3, hot: 1 }, true);
    await scene.clock.flush();
    const hot = scene.processes[0]?.slots("connect_standby")[0] as string;
    scene.processes[0]?.emit({ type: "hot", slot: hot });
    expect(scene.numbers()).toMatchObject({ warm: 2, hot: 1 });
    scene.pool.setTarget({ min: 1, hot: 1, max: 10, perProcess: 10 });
    expect(scene.numbers()).toMatchObject({ warm: 0, hot: 1 });
    expect(scene.processes[0]?.slots("release")).not.toContain(hot);
  });
});

describe("AgentPool, agents", () => {
  test("provides a hot agent or none when one is requested, because the room depends on it", async () => {
    const scene = ready({ min: 1, hot: 1 }, true);
    expect(scene.pool.take("hot", anAssignment("a"))).toBeUndefined();
    await scene.clock.flush();
    scene.processes[0]?.emit({ type: "hot", slot: scene.processes[0].slots("connect_standby")[0] as string });
    expect(scene.give("a", "hot")?.assignment?.warmth).toBe("hot");
    expect(scene.rooms.filter((room) => room.startsWith("-"))).toEqual([]);
  });

  test("provides a hot agent as a warm one too, and discards its standby room", async () => {
    const scene = ready({ min: 1, hot: 1 }, true);
    await scene.clock.flush();
    const slot = scene.processes[0]?.slots("connect_standby")[0] as string;
    scene.processes[0]?.emit({ type: "hot", slot });
    expect(scene.give("a", "warm")).toMatchObject({ id: slot, assignment: { warmth: "warm" } });
    expect(scene.rooms).toContain(`-${slot}`);
  });

  test("runs a session on a cold agent as soon as that is warm", () => {
    const scene = ready({ min: 0 });
    const slot = scene.give("a", "cold");
    expect(scene.processes[0]?.slots("run")).toEqual([]);
    scene.warmUp();
    expect(scene.processes[0]?.slots("run")).toEqual([slot?.id]);
    expect(scene.numbers()).toMatchObject({ busy: 1, warming: 0 });
  });

  test("never runs an agent that was released before it was warm", () => {
    const scene = ready({ min: 0 });
    const slot = scene.give("a", "cold");
    scene.pool.release(slot as NonNullable<typeof slot>, "not wanted any more");
    scene.warmUp();
    expect(scene.processes[0]?.slots("run")).toEqual([]);
    expect(scene.events).toContain("closed a");
    expect(scene.numbers()).toEqual({ warm: 0, hot: 0, warming: 0, busy: 0 });
  });

  test("makes an agent idle again that is given back, with the same warmth", () => {
    const scene = ready({ min: 1, max: 1 });
    const slot = scene.pool.take("warm", anAssignment("a"));
    expect(scene.numbers()).toMatchObject({ warm: 0, busy: 1 });
    scene.pool.giveBack(slot as NonNullable<typeof slot>);
    expect(scene.numbers()).toMatchObject({ warm: 1, busy: 0 });
  });

  test("uses an agent once, and replaces it after its release", () => {
    const scene = ready({ min: 1, max: 1 });
    const slot = scene.give("a") as NonNullable<ReturnType<typeof scene.give>>;
    scene.pool.release(slot, "over");
    expect(scene.pool.take("warm", anAssignment("b"))).toBeUndefined();
    scene.processes[0]?.emit({ type: "closed", slot: slot.id });
    scene.warmUp();
    expect(scene.events).toContain("closed a");
    expect(scene.give("b")?.id).not.toBe(slot.id);
  });

  test("reports an agent that ended by itself once, but not a released one", () => {
    const scene = ready({ min: 2 });
    const [a, b] = [scene.give("a"), scene.give("b")] as NonNullable<ReturnType<typeof scene.give>>[];
    scene.pool.release(b as NonNullable<typeof b>, "over");
    for (const slot of [a, b])
      scene.processes[0]?.emit({ type: "ended", slot: slot?.id as string, reason: "done", lost: false });
    expect(scene.events.filter((line) => line.startsWith("ended"))).toEqual(["ended a: done"]);
  });
});

describe("AgentPool, failed starts", () => {
  test("retries after 0.5 and 1 s, then after 30 s, showing the error", async () => {
    const scene = ready({ min: 1 });
    scene.give("a");
    const fail = () => {
      const child = scene.processes[0] as (typeof scene.processes)[number];
      child.emit({ type: "warm_failed", slot: child.slots("warm").at(-1) as string, error: "no model" });
    };
    const tries = () => scene.processes[0]?.slots("warm").length;
    fail();
    expect(tries()).toBe(2);
    await scene.clock.advance(500);
    expect(tries()).toBe(3);
    fail();
    expect(scene.pool.profile()).toMatchObject({ status: "running", error: "no model" });
    await scene.clock.advance(1000);
    expect(tries()).toBe(4);
    fail();
    expect(scene.pool.profile()).toMatchObject({ status: "failed", error: "no model" });
    await scene.clock.advance(29_000);
    expect(tries()).toBe(4);
    await scene.clock.advance(1000);
    expect(tries()).toBe(5);
    scene.warmUp();
    expect(scene.pool.profile().status).toBe("running");
    expect(scene.pool.profile().error).toBeUndefined();
  });

  test("starts a new process for each try to load a broken file", async () => {
    const scene = poolScene({ min: 1 });
    scene.processes[0]?.emit({ type: "load_failed", error: "syntax error" });
    expect(scene.processes[0]?.isKilled).toBe(true);
    expect(scene.pool.profile().error).toBe("syntax error");
    await scene.clock.advance(500);
    expect(scene.processes).toHaveLength(2);
  });

  test("ends the session that a failed agent was started for, which may be retried elsewhere", () => {
    const scene = ready({ min: 0 });
    const slot = scene.give("a", "cold");
    scene.processes[0]?.emit({ type: "warm_failed", slot: slot?.id as string, error: "no model" });
    expect(scene.events).toContain("ended a: The agent could not be started: no model");
    expect(scene.numbers().busy).toBe(0);
  });

  test("disables the profile without retries when a key is missing", async () => {
    const scene = poolScene({ min: 1 });
    scene.processes[0]?.emit({ type: "disabled", reason: "OPENAI_API_KEY must be set for it" });
    await scene.clock.advance(120_000);
    expect(scene.processes).toHaveLength(1);
    expect(scene.pool.profile()).toMatchObject({
      status: "disabled",
      error: "OPENAI_API_KEY must be set for it",
    });
  });
});

describe("AgentPool, processes", () => {
  test("loses the sessions of a dead process at once, and replaces its agents", () => {
    const scene = ready({ min: 2 });
    scene.give("a");
    scene.processes[0]?.die("exit code 139");
    expect(scene.events).toContain("lost a: exit code 139");
    expect(scene.processes).toHaveLength(2);
    expect(scene.numbers()).toMatchObject({ warming: 2, busy: 0 });
  });

  test("kills a process that misses three pings", async () => {
    const scene = ready({ min: 1 });
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
    const scene = ready({ min: 1 });
    scene.give("a");
    scene.warmUp();
    const [child] = scene.processes as [(typeof scene.processes)[number]];
    child.isSilent = true;
    let delayMs = 0;
    child.runDelayMs = () => delayMs;
    for (let second = 0; second < 10; second++) {
      await scene.clock.advance(1000);
      delayMs += 900;
    }
    expect(child.isKilled).toBe(false);
    await scene.clock.advance(12_000);
    expect(child.isKilled).toBe(true);
  });

  test("kills a process that never gets CPU time in the end", async () => {
    const scene = ready({ min: 1 });
    scene.give("a");
    scene.warmUp();
    const [child] = scene.processes as [(typeof scene.processes)[number]];
    child.isSilent = true;
    child.runDelayMs = () => scene.clock.monotonic();
    await scene.clock.advance(15_000);
    expect(child.isKilled).toBe(false);
    await scene.clock.advance(10_000);
    expect(child.isKilled).toBe(true);
  });

  test("kills a stopped process within half a second, also while it loads, but not after a short stop", async () => {
    const scene = ready({ min: 2 });
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
    const scene = ready({ min: 1 });
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
    const scene = ready({ min: 1 });
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
    const scene = ready({ min: 2 });
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
    expect(idle(ready({ min: 3 }, false, 2))).toEqual([2, 1]);
  });

  test("starts no second process for a single agent", () => {
    expect(ready({ min: 1 }, false, 2).processes).toHaveLength(1);
  });

  test("always has an idle agent outside of the process of the last session", () => {
    const scene = ready({ min: 2, max: 30, perProcess: 10 }, false, 2);
    for (let n = 0; n < 8; n++) {
      const slot = scene.give(`s${n}`);
      scene.warmUp();
      for (const child of scene.processes)
        if (child.received.length === 0) child.emit({ type: "loaded", pool: {} });
      scene.warmUp();
      const others = scene.pool.processes().filter(({ id }) => id !== slot?.process.id);
      expect(others.flatMap(({ slots }) => slots).some(({ state }) => state === "warm")).toBe(true);
    }
    expect(scene.processes).toHaveLength(2);
  });

  test("provides a warm agent after a process died, and refills the remaining process as well", () => {
    const scene = ready({ min: 3 }, false, 2);
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
    const scene = ready({ min: 6 }, false, 2);
    expect(idle(scene)).toEqual([5, 1]);
    scene.pool.setTarget({ min: 2, hot: 0, max: 10, perProcess: 10 });
    expect(idle(scene)).toEqual([1, 1]);
  });
});

test("releases idle agents on a drain, keeps busy ones, and starts no new ones", () => {
  const scene = ready({ min: 2 });
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
