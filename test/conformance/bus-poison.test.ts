// Messages that nobody can handle are buried, told apart, and hide nothing: in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bus } from "../../libs/bus/bus.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import type { SessionEvent } from "../../libs/contracts/sessions/session.ts";
import { type Channel, deadLetters } from "../../libs/contracts/streams.ts";
import { messagesOn } from "../kit/read-messages.ts";
import { eventsOf, eventually, fresh, kinds, requested, type TestBuses } from "./buses.ts";

describe.each(kinds)("poison on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("tester");
  });
  afterAll(() => buses?.stop());

  /** A tenant of its own with a consumer's options, so that tests don't hear each other. */
  const corner = () => {
    const tenant = fresh("t");
    return { tenant, channel: eventsOf(tenant), options: { durable: fresh("d"), concurrency: 4 } };
  };

  test("a message whose body is about another session than its subject is buried, and read by nobody", async () => {
    const { tenant, channel, options } = corner();
    const other = fresh("t");
    const subjects = [
      `session.${tenant}.s.ready`, // Its body says requested.
      `session.${tenant}.another.requested`,
    ];
    for (const subject of subjects) {
      await bus.streams.publish(nonsense(channel, subject), requested(tenant, "s"));
      await bus.streams.publish(nonsense(channel, subject), requested(other, "s"));
    }
    await bus.streams.publish(channel, requested(tenant, "good"));
    const seen: string[] = [];
    const stop = await bus.streams.consume(channel, options, async (event) => {
      seen.push(`${event.tenant} ${event.sessionId}`);
      return "ack";
    });
    for (const subject of subjects) {
      const letters = await eventually(async () => {
        const found = await lettersOf(bus, subject);
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

  test("one that nobody can read doesn't hide its neighbours, however it is broken", async () => {
    const { tenant, channel, options } = corner();
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
    for (const message of poison) await bus.streams.publish(nonsense(channel, subject), message);
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
    expect(handled).toBe(1);
    for (const { reason, payload } of letters) {
      expect(reason.length).toBeLessThanOrEqual(501);
      expect(payload.length).toBeLessThanOrEqual(16_384);
    }
    expect(await messagesOn(bus, channel, subject, 10)).toEqual([requested(tenant, "s")]);
    await stop();
  });

  test("what its handler says can never succeed is buried at once", async () => {
    const { tenant, channel, options } = corner();
    const stop = await bus.streams.consume(channel, options, async () => {
      throw new GreenroomError("payload_too_large", "it would not fit its bucket");
    });
    await bus.streams.publish(channel, requested(tenant, "s"));
    const [letter] = await eventually(() => lettersOf(bus, `session.${tenant}.s.requested`));
    expect(letter).toMatchObject({ deliveries: 1, reason: "it would not fit its bucket" });
    await stop();
  });

  test("a stream is read newest first, a page at a time, to its beginning", async () => {
    const { tenant } = corner();
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

/** The same channel for messages that nobody checks. */
const nonsense = (channel: Channel<SessionEvent>, subject: string): Channel<unknown> => ({
  ...channel,
  overflow: undefined,
  schema: z.unknown(),
  subjectOf: () => subject,
  idOf: () => undefined,
});

const lettersOf = async (bus: Bus, subject: string) => {
  const letters = await messagesOn(bus, deadLetters, `dead.${subject}`, 10);
  return letters.length > 0 ? letters : undefined;
};
