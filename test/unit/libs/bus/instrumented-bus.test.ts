// A bus that counts and times its calls.

import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { instrumentedBus } from "../../../../libs/bus/instrumented-bus.ts";
import { pools, sessions } from "../../../../libs/contracts/buckets.ts";
import { pingCommand, sessionEvents } from "../../../../libs/contracts/streams.ts";
import { systemClock } from "../../../../libs/runtime/clock.ts";
import { createMetrics } from "../../../../libs/runtime/metrics.ts";
import { anEvent, aPool, aSession } from "../../../kit/fixtures/sessions.ts";
import { linesOf } from "../../../kit/metric-lines.ts";
import { createRandom } from "../../../kit/random.ts";
import { messagesOn } from "../../../kit/read-messages.ts";
import { until } from "../../../kit/until.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

describe("instrumentedBus", () => {
  const start = () => {
    const metrics = createMetrics("test");
    const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
    return { metrics, server, bus: instrumentedBus(server.connect("measured"), metrics) };
  };

  test("passes calls on, and counts stored messages and duplicates", async () => {
    const { metrics, bus } = start();
    await bus.streams.publish(sessionEvents, anEvent("s"));
    expect(await bus.streams.publish(sessionEvents, anEvent("s"))).toEqual({ duplicate: true });
    expect(await messagesOn(bus, sessionEvents, "session.*.s.requested", 5)).toHaveLength(1);
    expect(await linesOf(metrics, "greenroom_messages_stored_total")).toEqual([
      'greenroom_messages_stored_total{stream="SESSIONS",outcome="stored"} 1',
      'greenroom_messages_stored_total{stream="SESSIONS",outcome="duplicate"} 1',
    ]);
    expect(await linesOf(metrics, "greenroom_nats_connected")).toEqual(["greenroom_nats_connected 1"]);
  });

  test("counts updates by state, and lost races", async () => {
    const { metrics, bus } = start();
    const first = await bus.kv.update(sessions, aSession("s"), 0);
    expect(first).toBeGreaterThan(0);
    expect(await bus.kv.update(sessions, aSession("s", { writeId: "other" }), 0)).toBeUndefined();
    await bus.kv.update(pools, aPool("echo"), 0);
    expect(await linesOf(metrics, "greenroom_records_saved_total")).toEqual([
      'greenroom_records_saved_total{bucket="sessions",state="requested",outcome="saved"} 1',
      'greenroom_records_saved_total{bucket="sessions",state="requested",outcome="lost_race"} 1',
      'greenroom_records_saved_total{bucket="pools",state="",outcome="saved"} 1',
    ]);
  });

  test("counts the time of each handled message by outcome", async () => {
    const { metrics, bus } = start();
    let tries = 0;
    const stop = await bus.streams.consume(
      sessionEvents,
      { durable: "d", description: "a test", concurrency: 1 },
      async () => {
        tries += 1;
        if (tries === 1) throw new Error("not yet");
        return tries === 2 ? "nak" : "ack";
      },
    );
    await bus.streams.publish(sessionEvents, anEvent("s"));
    await until(() => tries === 3, { what: "it is done" });
    await stop();
    const counts = await linesOf(metrics, "greenroom_message_handling_seconds_count");
    for (const outcome of ["failed", "nak", "ack"]) {
      expect(counts).toContain(
        `greenroom_message_handling_seconds_count{consumer="d",outcome="${outcome}"} 1`,
      );
    }
  });

  test("counts the time of commands, including unanswered ones", async () => {
    const { metrics, bus } = start();
    const stop = await bus.core.serve(pingCommand, "h", async () => ({ hostId: "h", epoch: 1, sequence: 1 }));
    await bus.core.request(pingCommand, "h", {});
    await stop();
    await expect(bus.core.request(pingCommand, "h", {})).rejects.toMatchObject({ code: "no_responders" });
    expect(await linesOf(metrics, "greenroom_command_seconds_count")).toEqual([
      'greenroom_command_seconds_count{command="ping",outcome="answered"} 1',
      'greenroom_command_seconds_count{command="ping",outcome="no_responders"} 1',
    ]);
  });
});

test("passes calls without a metric through", async () => {
  const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
  const bus: Bus = instrumentedBus(server.connect("measured"), createMetrics("test"));
  expect(await bus.admin.usageRatio(sessions)).toBe(0);
  expect(bus.isConnected()).toBe(true);
  await bus.close();
  expect(bus.isConnected()).toBe(false);
});
