// The starts of agents in scripted processes: failures, pauses and time-outs.
import { describe, expect, test } from "vitest";
import { load, poolScene, readyPool } from "../../../../kit/fakes/scripted-processes.ts";

describe("Spawner, failed starts", () => {
  test("retries after 0.5 and 1 s, then after 30 s, showing the error", async () => {
    const scene = readyPool({ min: 1 });
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

  test("offers the idle agents of a file whose later agents fail, and starts no cold ones", async () => {
    const scene = readyPool({ min: 3 });
    scene.give("a");
    const child = scene.processes[0] as (typeof scene.processes)[number];
    for (const pauseMs of [500, 1000, 0]) {
      child.emit({ type: "warm_failed", slot: child.slots("warm").at(-1) as string, error: "no model" });
      await scene.clock.advance(pauseMs);
    }
    expect(scene.pool.profile()).toMatchObject({ status: "running", error: "no model", warm: 2 });
    expect([scene.give("b"), scene.give("c")].map((slot) => slot?.state)).toEqual(["busy", "busy"]);
    expect(scene.pool.status).toBe("failed");
    expect(scene.give("d", "cold")).toBeUndefined();
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
    const scene = readyPool({ min: 0 });
    const slot = scene.give("a", "cold");
    scene.processes[0]?.emit({ type: "warm_failed", slot: slot?.id as string, error: "no model" });
    expect(scene.events).toContain("ended a: The agent could not be started: no model");
    expect(scene.numbers().busy).toBe(0);
  });

  test("gives up agents whose prewarm never returns, and starts others in a new process", async () => {
    const scene = poolScene({ min: 5, max: 6 });
    load(scene);
    scene.give("a", "cold");
    const [child] = scene.processes;
    const hung = child?.slots("warm") ?? [];
    expect(hung).toHaveLength(4); // The limiter admits four at a time.
    await scene.clock.advance(25_000);
    expect(scene.events).toContainEqual(expect.stringMatching(/^ended a: .* not return within 25000 ms/));
    expect(scene.pool.profile().error).toContain("prewarm did not return");
    expect(child?.slots("release")).toEqual(hung);
    const others = child?.slots("warm").slice(4) ?? [];
    expect(others.length).toBeGreaterThan(0);
    await scene.clock.advance(26_000);
    expect(child?.isKilled).toBe(true);
    for (let second = 0; second < 10; second++) {
      await scene.clock.advance(1000);
      load(scene);
      scene.warmUp();
    }
    expect(scene.numbers()).toMatchObject({ warm: 5, warming: 0, busy: 0 });
    expect(scene.pool.profile().error).toBeUndefined();
  });

  test("leaves a prewarm that blocks its process to the limit for silent processes", async () => {
    const scene = poolScene({ min: 1 });
    load(scene);
    const [child] = scene.processes;
    if (child !== undefined) child.isSilent = true;
    await scene.clock.advance(40_000);
    expect(scene.pool.profile().error).toBeUndefined();
    if (child !== undefined) child.isSilent = false;
    scene.warmUp();
    expect(scene.numbers()).toMatchObject({ warm: 1 });
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
