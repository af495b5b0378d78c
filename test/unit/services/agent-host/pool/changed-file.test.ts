// A pool whose agent file changes: new processes, and calls that go on in the old ones.
import { describe, expect, test } from "vitest";
import { load, poolScene, readyPool } from "../../../../kit/fakes/scripted-processes.ts";

describe("a changed agent file", () => {
  test("replaces the idle agents once the changed file has loaded, and lets busy ones finish", () => {
    const scene = readyPool({ min: 2 });
    const busy = scene.give("a");
    scene.warmUp();
    scene.pool.reload();
    expect(scene.processes).toHaveLength(2);
    expect(scene.numbers()).toMatchObject({ warm: 2, busy: 1 });
    load(scene);
    scene.warmUp();
    expect(scene.processes[0]?.slots("release")).not.toContain(busy?.id);
    expect(scene.processes[1]?.slots("warm")).toHaveLength(2);
    expect(scene.numbers()).toMatchObject({ warm: 2, busy: 1 });
    const [old] = scene.processes;
    for (const slot of old?.slots("release") ?? []) old?.emit({ type: "closed", slot });
    expect(old?.isKilled).toBe(false);
    old?.emit({ type: "closed", slot: busy?.id as string });
    expect(old?.isKilled).toBe(true);
  });

  test.each([
    { type: "load_failed", error: "Unexpected token" },
    { type: "no_agent", reason: "no default export" },
    { type: "disabled", reason: "a key is missing" },
  ] as const)("keeps the old agents when the changed file answers $type", (answer) => {
    const scene = readyPool({ min: 2 });
    scene.pool.reload();
    scene.processes[1]?.emit(answer);
    expect(scene.processes[1]?.isKilled).toBe(true);
    expect(scene.numbers()).toMatchObject({ warm: 2 });
    expect(scene.pool.status).toBe("running");
    expect(scene.give("a")?.process.isUnhealthy).toBe(false);
    expect(scene.processes[0]?.slots("run")).toHaveLength(1);
  });

  test("gives the new version to new agents, and leaves busy ones their own", () => {
    const scene = poolScene({ min: 1 });
    const loadVersion = (version: string) =>
      scene.processes.at(-1)?.emit({ type: "loaded", pool: {}, isolation: "shared", version });
    loadVersion("v1");
    scene.warmUp();
    const busy = scene.give("a");
    scene.pool.reload();
    expect(scene.pool.profile().version).toBe("v1");
    loadVersion("v2");
    scene.warmUp();
    expect(scene.pool.profile().version).toBe("v2");
    expect(busy?.process.version).toBe("v1");
    expect(scene.give("b")?.process.version).toBe("v2");
  });

  test("shows its new version although a process with a session loads its old code later", () => {
    const scene = poolScene({ min: 0, max: 5 });
    const loadVersion = (index: number, version: string) =>
      scene.processes[index]?.emit({ type: "loaded", pool: {}, isolation: "process", version });
    loadVersion(0, "v1");
    scene.give("a", "cold");
    scene.pool.reload();
    scene.give("b", "cold");
    const [, candidate, late] = [...scene.processes.keys()];
    expect(late).toBeDefined();
    loadVersion(candidate ?? 0, "v2");
    expect(scene.pool.profile().version).toBe("v2");
    loadVersion(late ?? 0, "v1");
    expect(scene.pool.profile().version).toBe("v2");
  });

  test("loads its old code in new processes until it loads itself, and retries every 30 s", async () => {
    const scene = poolScene({ min: 1 }, false);
    const loadNewest = (version: string, sources: Record<string, string>) =>
      scene.processes.at(-1)?.emit({ type: "loaded", pool: {}, isolation: "process", version, sources });
    loadNewest("v1", { "/agents/echo.ts": "old" });
    scene.warmUp();
    scene.pool.reload();
    for (const _ of [1, 2]) {
      const child = scene.processes.at(-1);
      expect(child?.start).not.toHaveProperty("loadsOldCode");
      child?.emit({ type: "load_failed", error: "Unexpected token" });
      expect(scene.pool.profile()).toMatchObject({
        status: "running",
        error: "the changed file failed to load, so the old code serves: Unexpected token",
        version: "v1",
      });
      scene.give("a");
      await scene.clock.advance(1000);
      const next = scene.processes.at(-1);
      expect(next?.start).toMatchObject({ loadsOldCode: true, version: "v1" });
      expect(next?.received[0]).toEqual({ type: "sources", sources: { "/agents/echo.ts": "old" } });
      loadNewest("v1", { "/agents/echo.ts": "old" });
      scene.warmUp();
      expect(scene.numbers()).toMatchObject({ warm: 1 });
      await scene.clock.advance(29_500);
    }
    loadNewest("v2", { "/agents/echo.ts": "new" });
    expect(scene.pool.profile()).toMatchObject({ status: "running", version: "v2" });
    expect(scene.pool.profile().error).toBeUndefined();
    scene.warmUp();
    scene.give("b");
    await scene.clock.advance(1000);
    expect(scene.processes.at(-1)?.start).not.toHaveProperty("loadsOldCode");
  });

  test("starts no agent in the process of a file that has not loaded", () => {
    const scene = readyPool({ min: 1, perProcess: 1 });
    scene.pool.reload();
    scene.give("a");
    expect(scene.processes).toHaveLength(3);
    load(scene);
    expect(scene.processes[1]?.slots("warm")).toEqual([]);
  });

  test("loads a fixed file at once, without the pause after failures", () => {
    const scene = poolScene({ min: 1 });
    scene.processes[0]?.emit({ type: "load_failed", error: "Unexpected token" });
    expect(scene.processes).toHaveLength(1);
    scene.pool.reload();
    expect(scene.processes).toHaveLength(2);
    load(scene);
    scene.warmUp();
    expect(scene.numbers()).toMatchObject({ warm: 1 });
  });

  test("loads a file again that was disabled, and one that still loads", () => {
    const scene = poolScene({ min: 1 });
    scene.processes[0]?.emit({ type: "disabled", reason: "a key is missing" });
    scene.pool.reload();
    scene.pool.reload();
    expect(scene.processes.map(({ isKilled }) => isKilled)).toEqual([true, true, false]);
    load(scene);
    expect(scene.pool.status).toBe("running");
  });

  test("starts agents of a fixed file at once, although those of the file before failed", async () => {
    const scene = readyPool({ min: 1 });
    scene.give("a");
    const child = scene.processes[0] as (typeof scene.processes)[number];
    for (const pauseMs of [500, 1000, 0]) {
      child.emit({
        type: "warm_failed",
        slot: child.slots("warm").at(-1) as string,
        error: "prewarm throws",
      });
      await scene.clock.advance(pauseMs);
    }
    expect(scene.pool.status).toBe("failed");
    scene.pool.reload();
    load(scene);
    expect(scene.pool.status).toBe("running");
    scene.warmUp();
    expect(scene.numbers()).toMatchObject({ warm: 1 });
  });
});
