// The calls service: one call record for each ended session, with all its reports, early or late.
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
  /** Delay in ms of the first stored call, for which the publisher gets an error. */
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
  /** Retries like the dispatcher and the hosts, until the value is stored. */
  const saveUntilStored = async <T>(bucket: Bucket<T>, value: T) => {
    for (;;) {
      try {
        return await outcome(client.kv.update(bucket, value, 0));
      } catch (error) {
        if (!isError(error, "storage_unavailable")) throw error;
      }
    }
  };
  const save = (record: SessionRecord) => saveUntilStored(sessions, record);
  const saveReport = (report: UsageReport) => saveUntilStored(usageReports, report);
  const stored = async () =>
    (await outcome(client.streams.read(calls, { subject: "call.>", limit: 100 }))).map(
      ({ message }) => message,
    );
  return { clock, client, outcome, start, running, save, saveReport, stored, published };
}

const session = (id: string, rest: Partial<Parameters<typeof anEndedSession>[0]> = {}): EndedSession =>
  anEndedSession({ id, startedAtMs: AT, startMs: 300, talkMs: 60_000, ...rest });

test("records an ended session at once, with its agent's usage, when its report is stored", async () => {
  const { clock, save, saveReport, stored } = await scene();
  const record = session("a");
  await saveReport(reportsOf(record)[0]!);
  await save(record);
  await clock.advance(500);
  const [call] = await stored();
  expect(call).toMatchObject({ sessionId: "a", outcome: "completed", metrics: { toolCalls: 2 } });
  expect(call!.metrics.llm?.count).toBe(6);
});

test("waits for a report, and stores the call once", async () => {
  const { clock, save, saveReport, stored, published } = await scene();
  const record = session("a");
  await save(record);
  await clock.advance(2000);
  expect(await stored()).toEqual([]);
  await saveReport(reportsOf(record)[0]!);
  await clock.advance(1000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
  await clock.advance(30_000);
  expect(published).toHaveLength(1);
});

test("adds a late report to the stored call", async () => {
  const { clock, save, saveReport, stored } = await scene();
  const record = session("a");
  await save(record);
  await clock.advance(6000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
  await saveReport(reportsOf(record)[0]!);
  await clock.advance(1000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
});

test("corrects a call over which a delayed older one was stored", async () => {
  const { clock, save, saveReport, stored } = await scene({ lateMs: 8000 });
  const record = session("a");
  await save(record);
  await clock.advance(11_000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
  await saveReport(reportsOf(record)[0]!);
  await clock.advance(1000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
  await clock.advance(2000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
  await clock.advance(10_000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 2 } }]);
});

test("ignores a report days after the session's end", async () => {
  const { clock, save, saveReport, stored } = await scene();
  const record = session("a");
  await save(record);
  await clock.advance(3 * 24 * 60 * 60 * 1000);
  await saveReport(reportsOf(record)[0]!);
  await clock.advance(10_000);
  expect(await stored()).toMatchObject([{ sessionId: "a", metrics: { toolCalls: 0 } }]);
});

test("accepts reports until METRICS_LOOKBACK_DAYS after the end, and none later", async () => {
  const DAY_MS = 24 * 60 * 60 * 1000;
  const { clock, save, saveReport, stored } = await scene();
  const [early, late] = [session("a"), session("b")];
  for (const record of [early, late]) await save(record);
  const endedMs = 300 + 60_000;
  await clock.advance(endedMs + 2 * DAY_MS - 60_000 - clock.monotonic());
  await saveReport(reportsOf(early)[0]!);
  await clock.advance(120_000);
  await saveReport(reportsOf(late)[0]!);
  await clock.advance(10_000);
  const toolCalls = (await stored()).map(({ sessionId, metrics }) => `${sessionId} ${metrics.toolCalls}`);
  expect(toolCalls).toEqual(["b 0", "a 2"]);
});

test("records no session in progress, and none of its reports", async () => {
  const { clock, save, saveReport, stored } = await scene();
  const record = session("a");
  await save({ ...record, state: "ready" });
  await saveReport({ ...reportsOf(record)[0]!, ended: undefined });
  await clock.advance(20_000);
  expect(await stored()).toEqual([]);
});

test("waits for no report of a session without an agent", async () => {
  const { clock, save, stored } = await scene();
  await save(session("a", { talkMs: undefined, reason: "no_capacity", fault: "platform" }));
  await clock.advance(500);
  expect(await stored()).toMatchObject([{ sessionId: "a", outcome: "failed", answered: false }]);
});

test("records sessions that ended while no instance ran", async () => {
  const { clock, save, stored, start } = await scene({ instances: 0 });
  for (const id of ["a", "b", "c"]) await save(session(id));
  await clock.advance(3_600_000);
  await start("late");
  await clock.advance(10_000);
  expect((await stored()).map(({ sessionId }) => sessionId).sort()).toEqual(["a", "b", "c"]);
});

describe("the calls service with several instances and a faulty bus", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])("stores one whole call for each session (seed %i)", async (seed) => {
    const faults = {
      repeat: 0.2,
      loseAck: 0.1,
      slow: 0.3,
      slowMs: 800,
      ambiguous: 0.05,
      hopMs: [1, 5],
    } as const;
    const { clock, client, outcome, save, saveReport, stored } = await scene({ faults, instances: 3, seed });
    const records = Array.from({ length: 6 }, (_, n) => session(`s${n}`, { hasFailover: n % 2 === 1 }));
    for (const [n, record] of records.entries()) {
      await save(record);
      await clock.advance(n * 700);
      for (const report of reportsOf(record)) await saveReport(report);
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

test("advertises itself before it records anything", async () => {
  const { client, outcome } = await scene();
  expect((await outcome(client.kv.get(callRecording, CALL_RECORDING_KEY)))?.value).toMatchObject({
    by: "calls-1",
  });
});

test("records calls without key figures when those are disabled, also when it stops", async () => {
  const { clock, client, outcome, save, start, stored } = await scene({ instances: 0 });
  const calls = await start("calls", false);
  await save(session("a"));
  await clock.advance(2 * 60 * 60 * 1000);
  await outcome(calls.stop());
  expect(await stored()).toMatchObject([{ sessionId: "a" }]);
  expect(await outcome(client.kv.entries(dailyKpis))).toEqual([]);
});

test("reports that it is far behind, until it has caught up", async () => {
  const { clock, save, start } = await scene({ instances: 0 });
  await save(session("old"));
  await clock.advance(3_600_000);
  const calls = await start("late");
  await clock.advance(10_000);
  expect(calls.degradedReason()).toMatch(/^Calls are recorded 3\d{3} s after their end/);
  await clock.advance(120_000);
  expect(calls.degradedReason()).toBeUndefined();
});

test("stops within a second, with up-to-date figures", async () => {
  const { clock, client, outcome, save, running } = await scene();
  await save(session("a"));
  await clock.advance(100);
  const began = clock.monotonic();
  await outcome(running[0]!.stop());
  expect(clock.monotonic() - began).toBeLessThan(1000);
  const kpis = (await outcome(client.kv.entries(dailyKpis))).map(({ value }) => value);
  expect(kpis).toMatchObject([{ calls: 1 }]);
});
