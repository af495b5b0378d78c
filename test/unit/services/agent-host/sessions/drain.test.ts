// A host's drain, and its migrations to hosts with free agents.
import { describe, expect, test } from "vitest";
import type { HostRecord } from "../../../../../libs/contracts/fleet/host.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { Drain } from "../../../../../services/agent-host/sessions/drain.ts";
import { poolScene } from "../../../../kit/fakes/scripted-processes.ts";
import { aHost } from "../../../../kit/fixtures/sessions.ts";

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
    pool.processes[0]?.emit({ type: "loaded", pool: {}, isolation: "shared" });
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

  test("gives no other host's agent to a session whose own agent has ended and still closes", async () => {
    const { clock, drain, give, migrations, processes } = scene([able("h2", { max: 3, busy: 2 })]);
    const [slot] = ["a", "b"].map((sessionId) => give(sessionId));
    processes[0]?.emit({ type: "ended", slot: slot?.id ?? "", reason: "done", lost: false });
    drain.begin({ deadlineMs: 0, onDeadline: "migrate" });
    await clock.advance(1000);
    expect(migrations).toEqual(["b"]);
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
