// The calls service: one call record of every session that has ended, with all that was said of it, early or late.
import { describe, expect, test, vi } from "vitest";
import {
  type Bucket,
  callRecording,
  dailyKpis,
  sessions,
  usageReports,
} from "../../../../libs/contracts/buckets.ts";
import { CALL_RECORDING_KEY, type UsageReport } from "../../../../libs/contracts/calls/call.ts";
import { GreenroomError, isError } from "../../../../libs/contracts/errors.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { calls } from "../../../../libs/contracts/streams.ts";
import type { EndedSession } from "../../../../libs/domain/call/build-call.ts";
import { startCalls } from "../../../../services/calls/calls.ts";
import { anEndedSession, reportsOf } from "../../../kit/fixtures/calls.ts";
import { world } from "../../../kit/worlds/memory-world.ts";
import type { Faults } from "../../../simulation/nats/faults.ts";

const AT = Date.UTC(2026, 0, 1, 0, 0);
const quiet = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} } as never;

interface SceneOptions {
  readonly faults?: Partial<Faults>;
  readonly instances?: number;
  readonly seed?: number;
  /** The first call that is stored is stored so many ms later, and its instance told that it was not. */
  readonly lateMs?: number;
}

async function scene({ faults = {}, instances = 1, seed = 1, lateMs }: SceneOptions = {}) {
  const { clock, connect, outcome } = world(faults, seed);
  const client = connect("client");
  const published: unknown[] = [];
  const start = async (name: string, kpis = true) => {
    const bus = connect(name);
    const publish = bus.streams.publish.bind(bus.streams);
    vi.spyOn(bus.streams, "publish").mockImplementation((channel, message) => {
      published.push(message);
      if (lateMs !== undefined && published.length === 1) {
        clock.after(lateMs, () => void publish(channel, message));
        return Promise.reject(new GreenroomError("storage_unavailable", "no answer"));
      }
      return publish(channel, message);
    });
    return outcome(
      startCalls({
        bus,
        clock,
        log: quiet,
        instance: name,
        settings: {
          reportWaitMs: 5000,
          metricsLookbackDays: 2,
          kpis,
          kpiIntervalMs: 1000,
          kpiLookbackDays: 3,
        },
      }),
    );
  };
  const running = [];
  for (let n = 1; n <= instances; n++) running.push(await start(`calls-${n}`));
  /** As the dispatcher and the hosts do: again, until it is stored. */
  const surely = async <T>(bucket: Bucket<T>, value: T) => {
    for (;;) {
      try {
        return await outcome(client.kv.update(bucket, value, 0));
      } catch (error) {
        if (!isError(error, "storage_unavailable")) throw error;
      }
    }
  };
  const save = (record: SessionRecord) => surely(sessions, record);
  const tell = (report: UsageReport) => surely(usageReports, report);
  const stored = async () =>
    (await outcome(client.streams.read(calls, { subject: "call.>", limit: 100 }))).map(
      ({ message }) => message,
    );
  return { clock, client, outcome, start, running, save, tell, stored, published };
}

const session = (id: string, rest: Partial<Parameters<typeof anEndedSession>[0]> = {}): EndedSession =>
  anEndedSession({ id, startedAtMs: AT, startMs: 300, talkMs: 60_000, ...rest });

test("an ended session whose report is there is recorded at once, with what its agent measured", async () => {
  const { clock, save, tell, stored } = await scene();
  const record = session("a");
  await tell(reportsOf(record)[0]!);
  await save(record);
  await clock.advance(500);
  const [call] = await stored();
  expect(call).toMatchObject({ sessionId: "a", outcome: "completed", metrics: { toolCalls: 2 } });
  expect(call!.metrics.llm?.count).toBe(6);
});

test("a report that comes within the wait is waited for, and the call is stored once", async () => {
  const { clock, save, tell, stored, published } = await scene();
  const record = session("a");
  await save(record);
  await clock.advance(2000);
  expect(await stored()).toEqual([]);
  await tell(reportsOf(record)[0]!);
  await clock.advance(1000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
  await clock.advance(30_000);
  expect(published).toHaveLength(1);
});

test("a report that comes too late is put into the call that is stored", async () => {
  const { clock, save, tell, stored } = await scene();
  const record = session("a");
  await save(record);
  await clock.advance(6000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
  await tell(reportsOf(record)[0]!);
  await clock.advance(1000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
});

test("a call that is stored after all, over a newer one, is made right", async () => {
  const { clock, save, tell, stored } = await scene({ lateMs: 8000 });
  const record = session("a");
  await save(record);
  await clock.advance(11_000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
  await tell(reportsOf(record)[0]!);
  await clock.advance(1000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
  await clock.advance(2000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
  await clock.advance(10_000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
});

test("what is said of a session days after its end changes nothing any more", async () => {
  const { clock, save, tell, stored } = await scene();
  const record = session("a");
  await save(record);
  await clock.advance(3 * 24 * 60 * 60 * 1000);
  await tell(reportsOf(record)[0]!);
  await clock.advance(10_000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
});

test("what is said of it within those days still changes its call, and not a moment after them", async () => {
  const DAY_MS = 24 * 60 * 60 * 1000;
  const { clock, save, tell, stored } = await scene();
  const [early, late] = [session("a"), session("b")];
  for (const record of [early, late]) await save(record);
  const endedMs = 300 + 60_000;
  await clock.advance(endedMs + 2 * DAY_MS - 60_000 - clock.monotonic());
  await tell(reportsOf(early)[0]!);
  await clock.advance(120_000);
  await tell(reportsOf(late)[0]!);
  await clock.advance(10_000);
  const toolCalls = (await stored()).map(({ sessionId, metrics }) => `${sessionId} ${metrics.toolCalls}`);
  expect(toolCalls).toEqual(["b 0", "a 2"]);
});

test("a session that goes on is not recorded, and neither are its reports", async () => {
  const { clock, save, tell, stored } = await scene();
  const record = session("a");
  await save({ ...record, state: "ready" });
  await tell({ ...reportsOf(record)[0]!, ended: undefined });
  await clock.advance(20_000);
  expect(await stored()).toEqual([]);
});

test("a session that never got an agent waits for no report", async () => {
  const { clock, save, stored } = await scene();
  await save(session("a", { talkMs: undefined, reason: "no_capacity", fault: "platform" }));
  await clock.advance(500);
  expect(await stored()).toMatchObject([{ sessionId: "a", outcome: "failed", answered: false }]);
});

test("sessions that ended while no instance ran are recorded when one starts", async () => {
  const { clock, save, stored, start } = await scene({ instances: 0 });
  for (const id of ["a", "b", "c"]) await save(session(id));
  await clock.advance(3_600_000);
  await start("late");
  await clock.advance(10_000);
  expect((await stored()).map(({ sessionId }) => sessionId).sort()).toEqual(["a", "b", "c"]);
});

describe("several instances, and a bus that repeats, delays and loses", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])("come to one whole call of each session (seed %i)", async (seed) => {
    const faults = {
      repeat: 0.2,
      loseAck: 0.1,
      slow: 0.3,
      slowMs: 800,
      ambiguous: 0.05,
      hopMs: [1, 5],
    } as const;
    const { clock, client, outcome, save, tell, stored } = await scene({ faults, instances: 3, seed });
    const records = Array.from({ length: 6 }, (_, n) => session(`s${n}`, { hasFailover: n % 2 === 1 }));
    for (const [n, record] of records.entries()) {
      await save(record);
      await clock.advance(n * 700);
      for (const report of reportsOf(record)) await tell(report);
    }
    await clock.advance(120_000);
    const found = await stored();
    expect(found).toHaveLength(6);
    for (const call of found) {
      const ofCall = records.find(({ sessionId: id }) => id === call.sessionId)!;
      expect(call.metrics.toolCalls).toBe(2 * reportsOf(ofCall).length);
    }
    const kpis = (await outcome(client.kv.entries(dailyKpis))).map(({ value }) => value);
    expect(kpis).toMatchObject([{ calls: 6, answered: 6, failovers: 3, toolCalls: 18 }]);
  });
});

test("leaves its mark before it records anything", async () => {
  const { client, outcome } = await scene();
  expect((await outcome(client.kv.get(callRecording, CALL_RECORDING_KEY)))?.value).toMatchObject({
    by: "calls-1",
  });
});

test("records calls but keeps no key figures when those are turned off, also when it stops", async () => {
  const { clock, client, outcome, save, start, stored } = await scene({ instances: 0 });
  const calls = await start("calls", false);
  await save(session("a"));
  await clock.advance(2 * 60 * 60 * 1000);
  await outcome(calls.stop());
  expect(await stored()).toMatchObject([{ sessionId: "a" }]);
  expect(await outcome(client.kv.entries(dailyKpis))).toEqual([]);
});

test("one that is far behind says so, until it has caught up", async () => {
  const { clock, save, start } = await scene({ instances: 0 });
  await save(session("old"));
  await clock.advance(3_600_000);
  const calls = await start("late");
  await clock.advance(10_000);
  expect(calls.degradedReason()).toMatch(/^Calls are recorded 3\d{3} s after their end/);
  await clock.advance(120_000);
  expect(calls.degradedReason()).toBeUndefined();
});

test("stops without keeping anybody waiting, and leaves the figures up to date", async () => {
  const { clock, client, outcome, save, running } = await scene();
  await save(session("a"));
  await clock.advance(100);
  const began = clock.monotonic();
  await outcome(running[0]!.stop());
  expect(clock.monotonic() - began).toBeLessThan(1000);
  const kpis = (await outcome(client.kv.entries(dailyKpis))).map(({ value }) => value);
  expect(kpis).toMatchObject([{ calls: 1 }]);
});
