// Streams behave the same in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Ack, Bus } from "../../libs/bus/bus.ts";
import { forward } from "../../libs/bus/overflow.ts";
import type { SessionEvent } from "../../libs/contracts/sessions/session.ts";
import { type Channel, deadLetters, sessionLogs } from "../../libs/contracts/streams.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventsOf, eventually, fresh, kinds, requested, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("stream on %s", (kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  /** Creates a tenant and a consumer's options, so that tests don't receive each other's messages. */
  const isolated = (concurrency = 4) => {
    const tenant = fresh("t");
    return {
      tenant,
      channel: eventsOf(tenant),
      options: { durable: fresh("d"), description: "a test", concurrency },
    };
  };

  test("stores a message that is published again within the window once", async () => {
    const { tenant, channel, options } = isolated();
    const first = await bus.streams.publish(channel, requested(tenant, "a"));
    const second = await bus.streams.publish(channel, { ...requested(tenant, "a"), at: "later" });
    const other = await bus.streams.publish(channel, requested(tenant, "b"));
    expect([first.duplicate, second.duplicate, other.duplicate]).toEqual([false, true, false]);

    const seen: string[] = [];
    const stop = await bus.streams.consume(channel, options, async (event) => {
      seen.push(`${event.sessionId} ${event.at}`);
      return "ack";
    });
    await eventually(() => seen.length === 2);
    await pause(100);
    expect(seen.sort()).toEqual([`a ${requested(tenant, "a").at}`, `b ${requested(tenant, "a").at}`]);
    await stop();
  });

  test("reports the statistics of every stream, with its consumers on a real server", async () => {
    const { tenant, channel, options } = isolated();
    const sessionsBefore =
      (await bus.admin.storageStats()).find(({ name }) => name === "SESSIONS")?.messages ?? 0;
    await bus.streams.publish(channel, requested(tenant, "a"));
    await bus.streams.publish(channel, requested(tenant, "b"));
    let received = 0;
    const stop = await bus.streams.consume(channel, options, async () => {
      received += 1;
      return "ack";
    });
    await eventually(() => received === 2);
    await eventually(async () => {
      const stats = (await bus.admin.storageStats()).find(({ name }) => name === "SESSIONS");
      const consumer = stats?.consumers.find(({ durable }) => durable === options.durable);
      const isReported =
        kind === "memory" ? consumer === undefined : consumer?.pending === 0 && consumer.ackPending === 0;
      return stats?.messages === sessionsBefore + 2 && isReported;
    });
    await stop();
  });

  test("receives the messages of its overflow stream once", async () => {
    const { tenant, channel, options } = isolated();
    const overflow = channel.overflow!;
    await bus.streams.publish(overflow, requested(tenant, "a"));
    await bus.streams.publish(channel, requested(tenant, "b"));
    await bus.streams.publish(overflow, requested(tenant, "b"));
    await bus.streams.publish(overflow, requested(tenant, "c"));
    const seen: string[] = [];
    const stop = await bus.streams.consume(channel, options, async (event, { subject }) => {
      seen.push(subject);
      return event.type === "requested" ? "ack" : "nak";
    });
    const stopForwarding = await forward(bus, channel);
    await eventually(() => seen.length === 3);
    await pause(200);
    expect(seen.sort()).toEqual(["a", "b", "c"].map((id) => `session.${tenant}.${id}.requested`));
    await stopForwarding();
    await stop();
  });

  test("stores messages without an id each time", async () => {
    const { tenant, channel } = isolated();
    const event: SessionEvent = { type: "retry_requested", tenant, sessionId: "s", attempt: 1, at: "now" };
    await bus.streams.publish(channel, event);
    expect((await bus.streams.publish(channel, event)).duplicate).toBe(false);
    expect(await messagesOn(bus, channel, `session.${tenant}.s.retry_requested`, 10)).toHaveLength(2);
  });

  test("delivers earlier messages to a new consumer", async () => {
    const { tenant, channel, options } = isolated();
    for (const id of ["a", "b", "c"]) await bus.streams.publish(channel, requested(tenant, id));
    const seen: string[] = [];
    const sequences: number[] = [];
    const stop = await bus.streams.consume(
      channel,
      { ...options, concurrency: 1 },
      async (event, delivery) => {
        sequences.push(delivery.sequence);
        seen.push(`${event.sessionId} ${delivery.deliveries} ${delivery.subject}`);
        return "ack";
      },
    );
    await eventually(() => seen.length === 3);
    expect(seen).toEqual(["a", "b", "c"].map((id) => `${id} 1 session.${tenant}.${id}.requested`));
    expect(new Set(sequences).size).toBe(3);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    await stop();
  });

  test("redelivers a message until it is acked, and counts the deliveries", async () => {
    const { tenant, channel, options } = isolated();
    const seen: number[] = [];
    const stop = await bus.streams.consume(channel, options, async (_event, { deliveries }): Promise<Ack> => {
      seen.push(deliveries);
      if (deliveries === 2) throw new Error("a bug");
      return deliveries < 4 ? "nak" : "ack";
    });
    const startedAt = performance.now();
    await bus.streams.publish(channel, requested(tenant, "s"));
    await eventually(() => seen.length === 4);
    // The pauses are 50, 100 and 200 ms.
    expect(performance.now() - startedAt).toBeGreaterThan(340);
    await pause(500);
    expect(seen).toEqual([1, 2, 3, 4]);
    await stop();
  });

  test("turns a malformed message into a dead letter with the reason", async () => {
    const { tenant, channel, options } = isolated();
    const subject = `session.${tenant}.s.requested`;
    const handled: unknown[] = [];
    const stop = await bus.streams.consume(channel, options, async (event) => {
      handled.push(event);
      return "ack";
    });
    await bus.streams.publish(unchecked(channel, subject), { type: "requested", sessionId: "s" });
    const letters = await eventually(() => deadLettersOn(bus, subject));
    expect(letters).toHaveLength(1);
    expect(letters[0]).toMatchObject({ subject, deliveries: 1 });
    expect(letters[0]?.reason).toContain("is invalid");
    expect(JSON.parse(letters[0]?.payload ?? "")).toEqual({ type: "requested", sessionId: "s" });
    expect(handled).toEqual([]);
    await stop();
  });

  test("turns a message into a dead letter after too many deliveries", async () => {
    const { tenant, channel, options } = isolated();
    const seen: number[] = [];
    const stop = await bus.streams.consume(
      channel,
      { ...options, maxDeliveries: 3 },
      async (event, { deliveries }) => {
        seen.push(deliveries);
        if (event.sessionId === "thrown") throw new Error("the handler's own words");
        return "nak";
      },
    );
    await bus.streams.publish(channel, requested(tenant, "thrown"));
    await bus.streams.publish(channel, requested(tenant, "retried"));
    const [thrown] = await eventually(() => deadLettersOn(bus, `session.${tenant}.thrown.requested`));
    const [retried] = await eventually(() => deadLettersOn(bus, `session.${tenant}.retried.requested`));
    expect(thrown).toMatchObject({ deliveries: 3, reason: "the handler's own words" });
    expect(retried).toMatchObject({ deliveries: 3, reason: "too many deliveries" });
    await pause(600);
    expect(seen).toHaveLength(6);
    await stop();
  });

  test("delivers as many messages at once as the consumer's concurrency allows", async () => {
    const { tenant, channel, options } = isolated(3);
    let inProgress = 0;
    let most = 0;
    let done = 0;
    const stop = await bus.streams.consume(channel, options, async () => {
      inProgress += 1;
      most = Math.max(most, inProgress);
      await pause(30);
      inProgress -= 1;
      done += 1;
      return "ack";
    });
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => bus.streams.publish(channel, requested(tenant, `s${index}`))),
    );
    await eventually(() => done === 20);
    expect(most).toBe(3);
    await stop();
  });

  test("shares the messages among consumers with the same name, each message once", async () => {
    const { tenant, channel, options } = isolated(2);
    const [one, two] = [await buses.connect("one"), await buses.connect("two")];
    const seen: [string, string][] = [];
    const share = (name: string, by: Bus) =>
      by.streams.consume(channel, options, async (event) => {
        seen.push([name, event.sessionId]);
        await pause(10);
        return "ack";
      });
    const stops = [await share("one", one), await share("two", two)];
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => bus.streams.publish(channel, requested(tenant, `s${index}`))),
    );
    await eventually(() => seen.length >= 40);
    await pause(100);
    expect(new Set(seen.map(([, id]) => id)).size).toBe(40);
    expect(seen).toHaveLength(40);
    expect(new Set(seen.map(([name]) => name))).toEqual(new Set(["one", "two"]));
    for (const stop of stops) await stop();
  });

  test("delivers every message to each of several consumers with different names", async () => {
    const { tenant, channel } = isolated();
    const seen: string[] = [];
    const stops = await Promise.all(
      ["x", "y"].map((name) =>
        bus.streams.consume(
          channel,
          { durable: fresh(name), description: "a test", concurrency: 1 },
          async (event) => {
            seen.push(`${name} ${event.sessionId}`);
            return "ack";
          },
        ),
      ),
    );
    await bus.streams.publish(channel, requested(tenant, "s"));
    await eventually(() => seen.length === 2);
    expect(seen.sort()).toEqual(["x s", "y s"]);
    for (const stop of stops) await stop();
  });

  test("leaves a message with its slow handler beyond the ack wait", async () => {
    const { tenant, channel, options } = isolated();
    const seen: number[] = [];
    const stop = await bus.streams.consume(channel, options, async (_event, { deliveries }) => {
      seen.push(deliveries);
      await pause(6500);
      return "ack";
    });
    await bus.streams.publish(channel, requested(tenant, "slow"));
    await pause(7500);
    expect(seen).toEqual([1]);
    await stop();
  });

  test("redelivers the messages of a stopped consumer to another one with the same name", async () => {
    const { tenant, channel, options } = isolated(1);
    const gone = await buses.connect("gone");
    const seen: string[] = [];
    const stop = await gone.streams.consume(channel, options, async (event) => {
      seen.push(`gone ${event.sessionId}`);
      await pause(200);
      return "nak";
    });
    await bus.streams.publish(channel, requested(tenant, "first"));
    await eventually(() => seen.length === 1);
    await stop();
    await bus.streams.publish(channel, requested(tenant, "second"));
    const stopOther = await bus.streams.consume(channel, options, async (event) => {
      seen.push(`other ${event.sessionId}`);
      return "ack";
    });
    await eventually(() => seen.includes("other first") && seen.includes("other second"), 12_000);
    expect(seen.filter((line) => line.startsWith("gone"))).toEqual(["gone first"]);
    await stopOther();
  });

  test("waits for running handlers when a consumer stops", async () => {
    const { tenant, channel, options } = isolated();
    let [started, ended] = [false, false];
    const stop = await bus.streams.consume(channel, options, async () => {
      started = true;
      await pause(200);
      ended = true;
      return "ack";
    });
    await bus.streams.publish(channel, requested(tenant, "s"));
    await eventually(() => started);
    await stop();
    expect(ended).toBe(true);
  });

  test("redelivers a message whose handler ends after its bus was closed", async () => {
    const { tenant, channel, options } = isolated();
    const closing = await buses.connect("closing");
    let isRunning = false;
    await closing.streams.consume(channel, options, async () => {
      isRunning = true;
      await pause(2500);
      return "ack";
    });
    await bus.streams.publish(channel, requested(tenant, "s"));
    await eventually(() => isRunning);
    await closing.close();
    await pause(3000);
    const seen: number[] = [];
    const stop = await bus.streams.consume(channel, options, async (_event, { deliveries }) => {
      seen.push(deliveries);
      return "ack";
    });
    await eventually(() => seen.length === 1, 12_000);
    expect(seen).toEqual([2]);
    await stop();
  });

  test("returns the newest messages of a subject, oldest first", async () => {
    const sessionId = fresh("s");
    const batch = (message: string) => ({
      tenant: "t",
      sessionId,
      lines: [{ at: "now", level: "info", message }],
    });
    expect(await messagesOn(bus, sessionLogs, `log.t.${sessionId}`, 5)).toEqual([]);
    for (const word of ["a", "b", "c", "d"]) await bus.streams.publish(sessionLogs, batch(word));
    await bus.streams.publish(sessionLogs, { ...batch("other"), sessionId: fresh("s") });
    const found = await messagesOn(bus, sessionLogs, `log.t.${sessionId}`, 3);
    expect(found).toEqual([batch("b"), batch("c"), batch("d")]);
  });

  test("keeps as many messages per subject as its channel allows", async () => {
    const sessionId = fresh("s");
    const batch = (index: number) => ({
      tenant: "t",
      sessionId,
      lines: [{ at: "now", level: "info", message: String(index) }],
    });
    await Promise.all(
      Array.from({ length: 210 }, (_, index) => bus.streams.publish(sessionLogs, batch(index))),
    );
    const found = await messagesOn(bus, sessionLogs, `log.t.${sessionId}`, 1000);
    expect(found).toHaveLength(sessionLogs.maxPerSubject ?? 0);
  });

  test("gives each handler its own copy", async () => {
    const { tenant, channel, options } = isolated();
    const event = requested(tenant, "s");
    const seen: SessionEvent[] = [];
    const stop = await bus.streams.consume(channel, options, async (message) => {
      seen.push(message);
      return "ack";
    });
    await bus.streams.publish(channel, event);
    await eventually(() => seen.length === 1);
    expect(seen[0]).toEqual(event);
    expect(seen[0]).not.toBe(event);
    await stop();
  });
});

/** The same channel without checks of its messages. */
const unchecked = (channel: Channel<SessionEvent>, subject: string): Channel<unknown> => ({
  ...channel,
  overflow: undefined,
  schema: z.unknown(),
  subjectOf: () => subject,
  idOf: () => undefined,
});

const deadLettersOn = async (bus: Bus, subject: string) => {
  const letters = await messagesOn(bus, deadLetters, `dead.${subject}`, 10);
  return letters.length > 0 ? letters : undefined;
};
