// Usage reports of a host's attempts: stored once at the end, and before that only now and then.
import { expect, test } from "vitest";
import { usageReports } from "../../../../../libs/contracts/buckets.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { Assignment } from "../../../../../services/agent-host/pool/slots.ts";
import { UsageReporter } from "../../../../../services/agent-host/sessions/usage-reporter.ts";
import { usageOf } from "../../../../kit/fixtures/calls.ts";
import { world } from "../../../../kit/worlds/memory-world.ts";
import type { Faults } from "../../../../simulation/nats/faults.ts";

function scene(faults: Partial<Faults> = {}, seed = 1) {
  const { clock, connect, outcome } = world(faults, seed);
  const bus = connect("host");
  const reporter = new UsageReporter({ bus, clock, log: silentLog, hostId: "h1" });
  const assigned = (rest: Partial<Assignment> = {}): Assignment => ({
    tenant: "t",
    sessionId: "s1",
    attempt: 2,
    warmth: "hot",
    takenAtMs: clock.monotonic(),
    job: undefined,
    readyAtMs: clock.monotonic(),
    lastActiveAtMs: 0,
    userJoined: true,
    isReleased: false,
    joinMs: 4,
    readyMs: 20,
    ...rest,
  });
  const stored = async () => (await outcome(bus.kv.get(usageReports, "t.s1.2")))?.value;
  const revisions = async () => (await outcome(bus.kv.entries(usageReports))).map(({ revision }) => revision);
  return { clock, bus, reporter, assigned, stored, revisions, outcome };
}

test("stores an ended attempt with its warmth, times, end and usage", async () => {
  const { clock, reporter, assigned, stored } = scene();
  const assignment = assigned();
  reporter.note(assignment, "echo", usageOf("a", 3));
  await clock.advance(5000);
  assignment.over = { how: "released", reason: "the user left", atMs: clock.monotonic() };
  // Closing takes a while, and brings the last usage.
  await clock.advance(700);
  reporter.note(assignment, "echo", usageOf("b", 4));
  reporter.finish(assignment, "echo");
  await clock.advance(10);
  expect(await stored()).toMatchObject({
    host: "h1",
    profile: "echo",
    warm: "hot",
    joinMs: 4,
    readyMs: 20,
    servedMs: 5000,
    ended: "released",
    reason: "the user left",
    usage: usageOf("b", 4),
  });
});

test("writes once for a short call, and nothing at its start", async () => {
  const { clock, reporter, assigned, revisions } = scene();
  const assignment = assigned();
  for (let n = 1; n <= 5; n++) {
    reporter.note(assignment, "echo", usageOf("a", n));
    await clock.advance(5000);
  }
  expect(await revisions()).toEqual([]);
  reporter.finish(assignment, "echo");
  await clock.advance(10);
  expect(await revisions()).toEqual([1]);
  await clock.advance(120_000);
  expect(await revisions()).toEqual([1]);
});

test("stores an attempt in progress after every half minute with new usage", async () => {
  const { clock, reporter, assigned, stored, revisions } = scene();
  const assignment = assigned();
  reporter.note(assignment, "echo", usageOf("a", 1));
  await clock.advance(29_000);
  reporter.note(assignment, "echo", usageOf("a", 2));
  await clock.advance(2000);
  expect(await stored()).toMatchObject({ servedMs: 30_000, usage: usageOf("a", 2) });
  expect(await stored()).not.toHaveProperty("ended");
  await clock.advance(300_000);
  expect(await revisions()).toEqual([1]);
});

test("stores a migrated attempt at once, and again at its end", async () => {
  const { clock, reporter, assigned, stored } = scene();
  const assignment = assigned();
  reporter.note(assignment, "echo", usageOf("a", 1));
  reporter.storeNow(assignment);
  await clock.advance(10);
  expect(await stored()).toMatchObject({ usage: usageOf("a", 1) });
  reporter.note(assignment, "echo", usageOf("a", 2));
  assignment.over = { how: "released", reason: "migrated", atMs: clock.monotonic() };
  reporter.finish(assignment, "echo");
  await clock.advance(10);
  expect(await stored()).toMatchObject({ usage: usageOf("a", 2), ended: "released" });
});

test("stores nothing of an attempt that was never ready", async () => {
  const { clock, reporter, assigned, revisions } = scene();
  reporter.finish(assigned({ readyAtMs: undefined }), "echo");
  await clock.advance(1000);
  expect(await revisions()).toEqual([]);
});

test("stores an attempt without an AgentSession, without usage", async () => {
  const { clock, reporter, assigned, stored } = scene();
  reporter.finish(assigned(), "echo");
  await clock.advance(10);
  expect(await stored()).toMatchObject({ warm: "hot" });
  expect(await stored()).not.toHaveProperty("usage");
});

test("ignores usage after the end", async () => {
  const { clock, reporter, assigned, stored } = scene();
  const assignment = assigned();
  reporter.note(assignment, "echo", usageOf("a", 1));
  reporter.finish(assignment, "echo");
  reporter.note(assignment, "echo", usageOf("a", 9));
  reporter.finish(assignment, "echo");
  await clock.advance(60_000);
  expect((await stored())?.usage).toEqual(usageOf("a", 1));
});

test.each([1, 2, 3, 4, 5, 6])(
  "stores the last usage although the store fails now and then (seed %i)",
  async (seed) => {
    const { clock, reporter, assigned, stored, outcome } = scene(
      { ambiguous: 0.3, refuse: 0.3, slow: 0.3, slowMs: 700, hopMs: [1, 9] },
      seed,
    );
    const assignment = assigned();
    reporter.note(assignment, "echo", usageOf("a", 1));
    reporter.storeNow(assignment);
    await clock.advance(200);
    reporter.note(assignment, "echo", usageOf("a", 7));
    assignment.over = { how: "ended", reason: "w", atMs: clock.monotonic() };
    reporter.finish(assignment, "echo");
    await outcome(reporter.flush());
    await clock.advance(100_000);
    let found = await stored().catch(() => undefined);
    for (let n = 0; n < 20 && found === undefined; n++) found = await stored().catch(() => undefined);
    expect(found).toMatchObject({ usage: usageOf("a", 7), ended: "ended" });
  },
);
