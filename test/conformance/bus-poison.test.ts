// Unreadable messages behave the same in memory and on NATS: they become dead letters and hide no other message.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bus } from "../../libs/bus/bus.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { SessionEvent } from "../../libs/contracts/sessions/session.ts";
import { type Channel, deadLetters } from "../../libs/contracts/streams.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventsOf, eventually, fresh, kinds, requested, type TestBuses } from "./buses.ts";

describe.each(kinds)("dead-lettering on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  /** Creates a tenant and a consumer's options, so that tests don't receive each other's messages. */
  const isolated = () => {
    const tenant = fresh("t");
    return {
      tenant,
      channel: eventsOf(tenant),
      options: { durable: fresh("d"), description: "a test", concurrency: 4 },
    };
  };

  test("stores a message whose body belongs to another subject, which no reader returns", async () => {
    const { tenant, channel, options } = isolated();
    const other = fresh("t");
    const subjects = [
      `session.${tenant}.s.ready`, // The body is an event "requested".
      `session.${tenant}.another.requested`,
    ];
    for (const subject of subjects) {
      await bus.streams.publish(unchecked(channel, subject), requested(tenant, "s"));
      await bus.streams.publish(unchecked(channel, subject), requested(other, "s"));
    }
    await bus.streams.publish(channel, requested(tenant, "good"));
    const seen: string[] = [];
    const stop = await bus.streams.consume(channel, options, async (event) => {
      seen.push(`${event.tenant} ${event.sessionId}`);
      return "ack";
    });
    for (const subject of subjects) {
      const letters = await eventually(async () => {
        const found = await deadLettersOn(bus, subject);
        return found?.length === 2 ? found : undefined;
      });
      expect(letters[0]).toMatchObject({ subject, stream: "SESSIONS", deliveries: 1 });
      expect(letters.map(({ reason }) => reason).join()).toContain(`holds a message of session.${tenant}.s.`);
      expect(await messagesOn(bus, channel, subject, 10)).toEqual([]);
    }
    await eventually(() => seen.length === 1);
    expect(seen).toEqual([`${tenant} good`]);
    await stop();
  });

  test("stores unreadable messages of every kind, but no readable neighbour", async () => {
    const { tenant, channel, options } = isolated();
    const poison: unknown[] = [
      { ...requested(tenant, "s"), metadata: { deep: nestedIn(200) } },
      { ...requested(tenant, "s"), metadata: { deep: nestedIn(2000) } },
      { [`k${"e".repeat(100_000)}y`]: 1, type: "requested" },
      { ...requested(tenant, "s"), metadata: { ["k".repeat(100_000)]: { toJSON: null, nope: 1 } } },
      JSON.parse('{"__proto__":{"type":"requested"}}'),
      [],
      null,
      7,
    ];
    const subject = `session.${tenant}.s.requested`;
    for (const message of poison) await bus.streams.publish(unchecked(channel, subject), message);
    await bus.streams.publish(channel, requested(tenant, "s"));
    let handled = 0;
    const stop = await bus.streams.consume(channel, options, async () => {
      handled += 1;
      return "ack";
    });
    const letters = await eventually(async () => {
      const found = await messagesOn(bus, deadLetters, `dead.${subject}`, 100);
      return found.length === poison.length ? found : undefined;
    });
    await eventually(() => handled > 0);
    expect(handled).toBe(1);
    for (const { reason, payload } of letters) {
      expect(reason.length).toBeLessThanOrEqual(501);
      expect(payload.length).toBeLessThanOrEqual(16_384);
    }
    expect(await messagesOn(bus, channel, subject, 10)).toEqual([requested(tenant, "s")]);
    await stop();
  });

  test("stores a message at once if its handler reports a permanent error", async () => {
    const { tenant, channel, options } = isolated();
    const stop = await bus.streams.consume(channel, options, async () => {
      throw new GreenroomError("payload_too_large", "it would not fit its bucket");
    });
    await bus.streams.publish(channel, requested(tenant, "s"));
    const [letter] = await eventually(() => deadLettersOn(bus, `session.${tenant}.s.requested`));
    expect(letter).toMatchObject({ deliveries: 1, reason: "it would not fit its bucket" });
    await stop();
  });

  test("returns dead letters newest first, page by page", async () => {
    const { tenant } = isolated();
    const letter = (n: number) => ({
      subject: `session.${tenant}.s${n}.requested`,
      stream: fresh("OTHER"),
      sequence: n,
      reason: "a test",
      deliveries: 1,
      at: "now",
      payload: "",
    });
    for (let n = 1; n <= 7; n++) await bus.streams.publish(deadLetters, letter(n));
    const first = await bus.streams.read(deadLetters, { limit: 3, order: "newest-first" });
    expect(first.map(({ message }) => message.sequence)).toEqual([7, 6, 5]);
    const second = await bus.streams.read(deadLetters, {
      limit: 3,
      to: first[2]!.sequence - 1,
      order: "newest-first",
    });
    expect(second.map(({ message }) => message.sequence)).toEqual([4, 3, 2]);
    const everything = await bus.streams.read(deadLetters, { limit: 1000, order: "newest-first" });
    expect(everything.slice(0, 7).map(({ message }) => message.sequence)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    const sequences = everything.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => b - a));
    expect(
      await bus.streams.read(deadLetters, { limit: 5, to: sequences.at(-1)! - 1, order: "newest-first" }),
    ).toEqual([]);
  });
});

const nestedIn = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
};

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
