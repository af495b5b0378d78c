// Stored key figures, kept consistent with call records.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../libs/bus/override-bus.ts";
import { dailyKpis } from "../../../../libs/contracts/buckets.ts";
import type { CallRecord } from "../../../../libs/contracts/calls/call.ts";
import { calls } from "../../../../libs/contracts/streams.ts";
import { quantileOf } from "../../../../libs/domain/call/histogram.ts";
import { sleep } from "../../../../libs/runtime/clock.ts";
import { KpiWriter } from "../../../../services/calls/kpi-writer.ts";
import { aCall } from "../../../kit/fixtures/calls.ts";
import { buildKpis, DAY_MS, NOON, someCall } from "../../../kit/fixtures/some-calls.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} } as never;

/** The last record on each subject, like the stream. */
const lastOfEach = (all: readonly CallRecord[]): CallRecord[] => [
  ...new Map(all.map((call) => [calls.subjectOf(call), call])).values(),
];

describe("KpiWriter", () => {
  function scene() {
    const { clock, connect, outcome } = world();
    const bus = connect("calls");
    const writerFor = (name: string, change = (bus: Bus): Bus => bus) =>
      new KpiWriter({
        bus: change(connect(name)),
        clock,
        log: quiet,
        settings: { intervalMs: 1000, lookbackDays: 3 },
      });
    const stored = async () =>
      (await outcome(bus.kv.entries(dailyKpis)))
        .map(({ value }) => value)
        .sort((a, b) => (dailyKpis.keyOf(a) < dailyKpis.keyOf(b) ? -1 : 1));
    return { bus, clock, outcome, writerFor, stored };
  }

  test("equals a recomputation after repeated, replaced and reordered calls, with two instances", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(someCall, fc.constantFrom("store", "one", "two", "both")), { maxLength: 25 }),
        async (steps) => {
          const { bus, outcome, writerFor, stored } = scene();
          const [one, two] = [writerFor("one"), writerFor("two")];
          const published: CallRecord[] = [];
          for (const [call, instance] of steps) {
            await outcome(bus.streams.publish(calls, call));
            published.push(call);
            // Either instance may have the call, also twice.
            for (const each of instance === "one" ? [one, one] : instance === "two" ? [two] : [one, two])
              each.note(call);
            const { tenant } = call;
            const day = calls.subjectOf(call).split(".")[2] as string;
            if (instance === "both")
              await outcome(Promise.all([one.make({ tenant, day }), two.make({ tenant, day })]));
          }
          await outcome(Promise.all([one.refresh(), two.refresh()]));
          await outcome(one.make({ tenant: "*", day: "20260101" }));
          await outcome(one.make({ tenant: "*", day: "20251231" }));
          expect(await stored()).toEqual(buildKpis(lastOfEach(published)));
          expect(await outcome(two.check({ tenant: "*", day: "20260101" }))).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("does not pause for long after it waited for the store", async () => {
    const { bus, clock, outcome, writerFor, stored } = scene();
    const writer = writerFor("one", (bus) => {
      let reads = 0;
      return overrideBus(bus, {
        streams: {
          read: async (channel, options) => {
            // A store that is unavailable for a minute.
            if (reads++ === 0) await sleep(clock, 60_000);
            return bus.streams.read(channel, options);
          },
        },
      });
    });
    const stop = writer.start();
    const store = async (id: string) => {
      const call = aCall({ id, startedAtMs: NOON, startMs: 900, talkMs: 60_000 });
      await outcome(bus.streams.publish(calls, call));
      writer.note(call);
    };
    await store("a");
    await clock.advance(70_000);
    expect(await stored()).toMatchObject([{ calls: 1 }]);
    await store("b");
    await clock.advance(5000);
    expect(await stored()).toMatchObject([{ calls: 2 }]);
    stop();
  });

  test("covers the configured number of days, and ignores calls of earlier days", async () => {
    const { bus, clock, outcome, writerFor } = scene();
    const writer = writerFor("one");
    await clock.advance(12 * 60 * 60 * 1000);
    const callOn = (daysAgo: number, id: string) =>
      aCall({ id, startedAtMs: NOON - daysAgo * DAY_MS - 60_000, startMs: 10, talkMs: 1000 });
    const store = (call: CallRecord) => outcome(bus.streams.publish(calls, call));
    const counted = async () =>
      (await outcome(bus.kv.entries(dailyKpis))).map(({ value }) => `${value.day} ${value.calls}`).sort();
    for (const daysAgo of [0, 1, 2, 3, 4]) await store(callOn(daysAgo, `a${daysAgo}`));
    await outcome(writer.refresh());
    const threeDays = ["20251230 1", "20251231 1", "20260101 1"];
    expect(await counted()).toEqual(threeDays);
    for (const daysAgo of [0, 2, 3]) {
      const call = callOn(daysAgo, `b${daysAgo}`);
      await store(call);
      writer.note(call);
    }
    await outcome(writer.refresh());
    expect(await counted()).toEqual(["20251230 2", "20251231 1", "20260101 2"]);
  });

  test("reports figures that disagree with their calls", async () => {
    const { bus, outcome, writerFor } = scene();
    const writer = writerFor("one");
    const call = aCall({ id: "a", startedAtMs: NOON, startMs: 10, talkMs: 1000 });
    await outcome(bus.streams.publish(calls, call));
    const of = { tenant: "t", day: "20260101" };
    expect(await outcome(writer.check(of))).toEqual(["t.20260101.echo"]);
    await outcome(writer.make(of));
    expect(await outcome(writer.check(of))).toEqual([]);
    const [entry] = await outcome(bus.kv.entries(dailyKpis));
    await outcome(bus.kv.update(dailyKpis, { ...entry!.value, calls: 7 }, entry!.revision));
    expect(await outcome(writer.check(of))).toEqual(["t.20260101.echo"]);
  });

  test("deletes the figures of a day without calls when it prunes", async () => {
    const { bus, outcome, writerFor, stored } = scene();
    const writer = writerFor("one");
    const of = { tenant: "t", day: "20260101" };
    await outcome(
      bus.streams.publish(calls, aCall({ id: "a", startedAtMs: NOON, startMs: 10, talkMs: 1000 })),
    );
    await outcome(writer.make(of));
    expect(await stored()).toHaveLength(1);
    await outcome(bus.admin.purge(calls, "call.t.20260101.*"));
    await outcome(writer.make(of));
    expect(await stored()).toHaveLength(1);
    await outcome(writer.make(of, { prune: true }));
    expect(await stored()).toEqual([]);
  });

  test("never overwrites newer figures with older ones", async () => {
    const { bus, outcome, writerFor, stored } = scene();
    const [slow, quick] = [writerFor("slow"), writerFor("quick")];
    const of = { tenant: "t", day: "20260101" };
    const call = (id: string) => aCall({ id, startedAtMs: NOON, startMs: 10, talkMs: 1000 });
    await outcome(bus.streams.publish(calls, call("a")));
    const making = slow.make(of);
    await outcome(bus.streams.publish(calls, call("b")).then(() => quick.make(of)));
    await outcome(making);
    expect((await stored()).map((kpi) => kpi.calls)).toEqual([2]);
  });

  test("keeps percentiles that agree with the calls", async () => {
    const { bus, outcome, writerFor, stored } = scene();
    for (let n = 1; n <= 100; n++) {
      await outcome(
        bus.streams.publish(calls, aCall({ id: `s${n}`, startedAtMs: NOON, startMs: n * 10, talkMs: 1000 })),
      );
    }
    await outcome(writerFor("one").make({ tenant: "t", day: "20260101" }));
    const [kpi] = await stored();
    expect(Math.abs(quantileOf(kpi!.start, 0.95) - 950)).toBeLessThanOrEqual(19);
  });
});
