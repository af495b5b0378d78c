// Ended sessions, kept until their calls are recorded, if calls are recorded at all.
import { expect, test } from "vitest";
import { callRecording } from "../../../../libs/contracts/buckets.ts";
import { calls } from "../../../../libs/contracts/streams.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { advertiseCallRecording } from "../../../../services/calls/calls.ts";
import { PurgeGuard } from "../../../../services/janitor/purge-guard.ts";
import { aCall, anEndedSession } from "../../../kit/fixtures/calls.ts";
import { MINUTE_MS, world } from "../../../kit/worlds/memory-world.ts";

const KEEP_MS = 60 * MINUTE_MS;
const shape = { id: "a", startedAtMs: Date.UTC(2026, 0, 1), startMs: 100, talkMs: 1000 };
const session = anEndedSession(shape);

function scene() {
  const { clock, connect, outcome } = world();
  const bus = connect("janitor");
  const guard = new PurgeGuard({ bus, clock, log: silentLog });
  const mayPurge = (keptMs: number) => outcome(guard.canPurge(session, keptMs, KEEP_MS));
  return { bus, clock, outcome, mayPurge };
}

test("purges a session when its time has come where no calls are recorded", async () => {
  const { mayPurge } = scene();
  expect(await mayPurge(KEEP_MS)).toBe(true);
});

test("purges a session once its call is stored where calls are recorded", async () => {
  const { bus, clock, outcome, mayPurge } = scene();
  await outcome(advertiseCallRecording(bus, clock, "calls-1"));
  expect(await mayPurge(KEEP_MS)).toBe(false);
  await outcome(bus.streams.publish(calls, aCall(shape)));
  expect(await mayPurge(KEEP_MS)).toBe(true);
});

test("notices within a minute that calls are recorded from now on", async () => {
  const { bus, clock, outcome, mayPurge } = scene();
  expect(await mayPurge(KEEP_MS)).toBe(true);
  await outcome(advertiseCallRecording(bus, clock, "calls-1"));
  await clock.advance(MINUTE_MS);
  expect(await mayPurge(KEEP_MS)).toBe(false);
});

test("purges an unrecorded session after seven retention times", async () => {
  const { bus, clock, outcome, mayPurge } = scene();
  await outcome(advertiseCallRecording(bus, clock, "calls-1"));
  expect(await mayPurge(7 * KEEP_MS - 1)).toBe(false);
  expect(await mayPurge(7 * KEEP_MS)).toBe(true);
});

test("treats an unreadable advertisement as a present one", async () => {
  const { bus, outcome, mayPurge } = scene();
  await outcome(bus.kv.update(callRecording, { v: 9, by: 1 } as never, 0));
  expect(await mayPurge(KEEP_MS)).toBe(false);
});
