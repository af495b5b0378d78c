// Agent processes of a pool with process isolation, and the turns in which processes load their files.
import { expect, test } from "vitest";
import { load, poolScene, readyPool, SESSIONS_MAX } from "../../../../kit/fakes/scripted-processes.ts";

/** A pool with process isolation whose processes have all loaded the file. */
function isolatedPool(min: number) {
  const scene = poolScene({ min }, false);
  const loaded = new Set<object>();
  const loadAll = () => {
    for (const child of scene.processes.filter((one) => !loaded.has(one))) {
      loaded.add(child);
      child.emit({ type: "loaded", pool: {}, isolation: "process" });
    }
    scene.warmUp();
  };
  for (let turn = 0; turn < 5; turn++) loadAll();
  return { ...scene, loadAll };
}

test("starts one process for each idle agent, whatever perProcess is", () => {
  const { pool, processes } = isolatedPool(3);
  expect(processes).toHaveLength(3);
  expect(pool.profile()).toMatchObject({ warm: 3, isolation: "process" });
  expect(pool.processes().map(({ slots }) => slots.length)).toEqual([1, 1, 1]);
});

test("starts the next process a second after a session has begun, or at once for the next session", async () => {
  const { clock, processes, give, loadAll, numbers } = isolatedPool(3);
  give("a");
  await clock.advance(600);
  give("b");
  expect(processes).toHaveLength(3);
  await clock.advance(400);
  expect(processes).toHaveLength(4);
  loadAll();
  await clock.advance(600);
  expect(processes).toHaveLength(5);
  loadAll();
  expect(numbers()).toMatchObject({ warm: 3, busy: 2 });
  for (const id of ["c", "d"]) give(id);
  expect(processes).toHaveLength(5);
  give("e");
  expect(processes).toHaveLength(8);
});

test("ends the process of a session with the session, and gives it no other one", async () => {
  const { clock, pool, processes, give, loadAll, numbers } = isolatedPool(2);
  const slot = give("a");
  await clock.advance(1000);
  loadAll();
  expect(numbers()).toMatchObject({ warm: 2, busy: 1 });
  const used = processes.find((child) => child.slots("run").includes(slot?.id ?? ""));
  used?.emit({ type: "ended", slot: slot?.id ?? "", reason: "done", lost: false });
  used?.emit({ type: "closed", slot: slot?.id ?? "" });
  expect(used?.isKilled).toBe(true);
  loadAll();
  expect(pool.profile()).toMatchObject({ warm: 2, busy: 0 });
  expect(processes).toHaveLength(3);
});

test("replaces a shared process that has served its number of sessions, once the running ones are over", async () => {
  const scene = readyPool({ min: 2 });
  const { clock, give, processes, warmUp } = scene;
  const first = processes[0];
  const end = (slot: string) => {
    first?.emit({ type: "ended", slot, reason: "done", lost: false });
    first?.emit({ type: "closed", slot });
    warmUp();
  };
  const last = give("last")?.id ?? "";
  for (let served = 1; served < SESSIONS_MAX - 1; served++) end(give(`session-${served}`)?.id ?? "");
  await clock.advance(3000);
  expect(processes).toHaveLength(1);
  end(give("one more")?.id ?? "");
  await clock.advance(3000);
  expect(processes).toHaveLength(2);
  for (const slot of first?.slots("release") ?? []) first?.emit({ type: "closed", slot });
  expect(first?.isKilled).toBe(false);
  end(last);
  expect(first?.isKilled).toBe(true);
});

test("loads one file after another, and goes on after a few seconds if a file waits for longer", async () => {
  const scene = poolScene({ min: 3 }, false, 3, 1);
  load(scene);
  scene.warmUp();
  expect(scene.processes).toHaveLength(2);
  await scene.clock.advance(4000);
  expect(scene.processes).toHaveLength(2);
  await scene.clock.advance(1500);
  expect(scene.processes).toHaveLength(3);
});

test("lets a file that computes keep its turn, for half a minute at most", async () => {
  const scene = poolScene({ min: 3 }, false, 3, 1);
  load(scene);
  scene.warmUp();
  const loading = scene.processes[1];
  // The file gets half of a CPU.
  if (loading) loading.threadTimes = () => ({ ranMs: scene.clock.monotonic() / 2, waitedMs: 0 });
  await scene.clock.advance(29_000);
  expect(scene.processes).toHaveLength(2);
  await scene.clock.advance(1500);
  expect(scene.processes).toHaveLength(3);
});

test.each(["disabled", "no_agent"] as const)(
  "gives a file up that is %s at first, and loads one again that had been loaded",
  async (type) => {
    const first = poolScene({ min: 1 }, false);
    first.processes[0]?.emit({ type, reason: "half a file" });
    expect(first.pool.status).toBe("disabled");
    expect(first.events).toContain(`${type}: half a file`);

    const scene = isolatedPool(1);
    scene.give("a");
    const next = scene.processes.at(-1);
    next?.emit({ type, reason: "half a file" });
    expect(scene.events).not.toContain(`${type}: half a file`);
    expect(scene.pool.status).toBe("running");
    await scene.clock.advance(1000);
    scene.loadAll();
    expect(scene.pool.profile()).toMatchObject({ warm: 1, busy: 1 });
  },
);

test.each([
  { lagMs: 400, waits: 0, fault: "an agent process lagged by 400 ms after its sessions, so it was replaced" },
  { lagMs: 150, waits: 0, fault: undefined },
  { lagMs: 400, waits: 0.4, fault: undefined },
])(
  "replaces a process that lags by $lagMs ms after its last session, and waits for a CPU for $waits of the time: $fault",
  async ({ lagMs, waits, fault }) => {
    const { clock, give, pool, processes, warmUp } = readyPool({ min: 1 });
    const [child] = processes;
    if (child === undefined) throw new Error("no process");
    child.cpuTimes = () => ({ ranMs: 0, waitedMs: clock.monotonic() * waits });
    child.lagMs = lagMs;
    const slot = give("a")?.id ?? "";
    warmUp();
    await clock.advance(30_000);
    // A process with a call in it stays.
    expect(child.slots("release")).toEqual([]);
    child.emit({ type: "ended", slot, reason: "done", lost: false });
    child.emit({ type: "closed", slot });
    await clock.advance(13_000);
    for (const idle of child.slots("release")) child.emit({ type: "closed", slot: idle });
    expect(child.isKilled).toBe(fault !== undefined);
    expect(pool.profile().error).toBe(fault);
  },
);

test("keeps a process that pauses now and then after its last session", async () => {
  const { clock, give, pool, processes, warmUp } = readyPool({ min: 1 });
  const [child] = processes;
  if (child === undefined) throw new Error("no process");
  child.cpuTimes = () => ({ ranMs: 0, waitedMs: 0 });
  const slot = give("a")?.id ?? "";
  warmUp();
  child.emit({ type: "ended", slot, reason: "done", lost: false });
  child.emit({ type: "closed", slot });
  for (let seconds = 0; seconds < 40; seconds++) {
    child.lagMs = seconds % 3 === 0 ? 900 : 0;
    await clock.advance(1000);
  }
  expect(child.isKilled).toBe(false);
  expect(pool.profile().error).toBeUndefined();
});
