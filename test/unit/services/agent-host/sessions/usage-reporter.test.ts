// What a host keeps of the attempts it serves: stored once when they are over, and before that only now and then.
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
  const keeper = new UsageReporter({ bus, clock, log: silentLog, hostId: "h1" });
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
  return { clock, bus, keeper, assigned, stored, revisions, outcome };
}

test("an attempt that is over is stored with how warm it was, what it took, how it ended and what it measured", async () => {
  const { clock, keeper, assigned, stored } = scene();
  const assignment = assigned();
  keeper.note(assignment, "echo", usageOf("a", 3));
  await clock.advance(5000);
  assignment.over = { how: "released", reason: "the user left", atMs: clock.monotonic() };
  // Closing takes a while, and tells the last of what was measured.
  await clock.advance(700);
  keeper.note(assignment, "echo", usageOf("b", 4));
  keeper.finish(assignment, "echo");
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

test("a short call costs one write, and a start none", async () => {
  const { clock, keeper, assigned, revisions } = scene();
  const assignment = assigned();
  for (let n = 1; n <= 5; n++) {
    keeper.note(assignment, "echo", usageOf("a", n));
    await clock.advance(5000);
  }
  expect(await revisions()).toEqual([]);
  keeper.finish(assignment, "echo");
  await clock.advance(10);
  expect(await revisions()).toEqual([1]);
  await clock.advance(120_000);
  expect(await revisions()).toEqual([1]);
});

test("one that goes on is stored each half minute in which it measured anything", async () => {
  const { clock, keeper, assigned, stored, revisions } = scene();
  const assignment = assigned();
  keeper.note(assignment, "echo", usageOf("a", 1));
  await clock.advance(29_000);
  keeper.note(assignment, "echo", usageOf("a", 2));
  await clock.advance(2000);
  expect(await stored()).toMatchObject({ servedMs: 30_000, usage: usageOf("a", 2) });
  expect(await stored()).not.toHaveProperty("ended");
  await clock.advance(300_000);
  expect(await revisions()).toEqual([1]);
});

test("one that is handed over is stored at once, and again when it is over", async () => {
  const { clock, keeper, assigned, stored } = scene();
  const assignment = assigned();
  keeper.note(assignment, "echo", usageOf("a", 1));
  keeper.storeNow(assignment);
  await clock.advance(10);
  expect(await stored()).toMatchObject({ usage: usageOf("a", 1) });
  keeper.note(assignment, "echo", usageOf("a", 2));
  assignment.over = { how: "released", reason: "handed over", atMs: clock.monotonic() };
  keeper.finish(assignment, "echo");
  await clock.advance(10);
  expect(await stored()).toMatchObject({ usage: usageOf("a", 2), ended: "released" });
});

test("one that never got ready is not stored", async () => {
  const { clock, keeper, assigned, revisions } = scene();
  keeper.finish(assigned({ readyAtMs: undefined }), "echo");
  await clock.advance(1000);
  expect(await revisions()).toEqual([]);
});

test("one without any AgentSession is stored without measures", async () => {
  const { clock, keeper, assigned, stored } = scene();
  keeper.finish(assigned(), "echo");
  await clock.advance(10);
  expect(await stored()).toMatchObject({ warm: "hot" });
  expect(await stored()).not.toHaveProperty("usage");
});

test("what comes after the end changes nothing", async () => {
  const { clock, keeper, assigned, stored } = scene();
  const assignment = assigned();
  keeper.note(assignment, "echo", usageOf("a", 1));
  keeper.finish(assignment, "echo");
  keeper.note(assignment, "echo", usageOf("a", 9));
  keeper.finish(assignment, "echo");
  await clock.advance(60_000);
  expect((await stored())?.usage).toEqual(usageOf("a", 1));
});

test.each([1, 2, 3, 4, 5, 6])(
  "while the store fails now and then the last word is stored (seed %i)",
  async (seed) => {
    const { clock, keeper, assigned, stored, outcome } = scene(
      { ambiguous: 0.3, refuse: 0.3, slow: 0.3, slowMs: 700, hopMs: [1, 9] },
      seed,
    );
    const assignment = assigned();
    keeper.note(assignment, "echo", usageOf("a", 1));
    keeper.storeNow(assignment);
    await clock.advance(200);
    keeper.note(assignment, "echo", usageOf("a", 7));
    assignment.over = { how: "ended", reason: "w", atMs: clock.monotonic() };
    keeper.finish(assignment, "echo");
    await outcome(keeper.flush());
    await clock.advance(100_000);
    let found = await stored().catch(() => undefined);
    for (let n = 0; n < 20 && found === undefined; n++) found = await stored().catch(() => undefined);
    expect(found).toMatchObject({ usage: usageOf("a", 7), ended: "ended" });
  },
);
