// Questions, answers and announcements behave the same in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bus } from "../../libs/bus/bus.ts";
import { type Command, hostChanges, pingCommand, releaseCommand } from "../../libs/contracts/streams.ts";
import { aHost } from "../kit/fixtures/sessions.ts";
import { eventually, fresh, kinds, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("talk on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  let other: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("asker");
    other = await buses.connect("host");
  });
  afterAll(() => buses?.stop());

  const release = { tenant: "t", sessionId: "s", attempt: 1, reason: "ended" };

  test("a question reaches its host and brings the answer back", async () => {
    const host = fresh("h");
    const heard: unknown[] = [];
    const stop = await other.core.serve(releaseCommand, host, async (question) => {
      heard.push(question);
      return { released: question.sessionId === "s" };
    });
    await pause(50);
    expect(await bus.core.request(releaseCommand, host, release)).toEqual({ released: true });
    expect(heard).toEqual([release]);
    expect(heard[0]).not.toBe(release);
    await stop();
  });

  test("a host that nobody serves is known at once", async () => {
    const startedAt = performance.now();
    await expect(bus.core.request(pingCommand, fresh("h"), {})).rejects.toMatchObject({
      code: "no_responders",
    });
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  test("after a stop nobody answers", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(releaseCommand, host, async () => ({ released: true }));
    await pause(50);
    await stop();
    await pause(50);
    await expect(bus.core.request(releaseCommand, host, release)).rejects.toMatchObject({
      code: "no_responders",
    });
  });

  test("after a close nobody answers", async () => {
    const host = fresh("h");
    const leaving = await buses.connect("leaving");
    await leaving.core.serve(releaseCommand, host, async () => ({ released: true }));
    await pause(50);
    await leaving.close();
    await pause(50);
    await expect(bus.core.request(releaseCommand, host, release)).rejects.toMatchObject({
      code: "no_responders",
    });
  });

  test("an answer that takes too long is a time-out", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(pingCommand, host, async () => {
      await pause(1300);
      return { hostId: host, epoch: 1, sequence: 1 };
    });
    await pause(50);
    const startedAt = performance.now();
    await expect(bus.core.request(pingCommand, host, {})).rejects.toMatchObject({ code: "timeout" });
    expect(performance.now() - startedAt).toBeGreaterThan(pingCommand.timeoutMs - 50);
    await stop();
  });

  test("those who serve with one queue share the questions, and each is answered once", async () => {
    const host = fresh("h");
    const members = await Promise.all(["q1", "q2", "q3"].map((name) => buses.connect(name)));
    const heard: [number, string][] = [];
    const serve = (by: Bus, index: number, queue?: string) =>
      by.core.serve(
        releaseCommand,
        host,
        async ({ sessionId }) => {
          heard.push([index, sessionId]);
          return { released: true };
        },
        queue === undefined ? {} : { queue },
      );
    const stops = await Promise.all(members.map((member, index) => serve(member, index, "workers")));
    await pause(50);
    const ids = Array.from({ length: 60 }, (_, index) => `s${index}`);
    await Promise.all(
      ids.map((sessionId) => bus.core.request(releaseCommand, host, { ...release, sessionId })),
    );
    expect(heard.map(([, sessionId]) => sessionId).sort()).toEqual([...ids].sort());
    // That one of three is never chosen in 60 questions happens once in ten thousand million.
    expect(new Set(heard.map(([index]) => index))).toEqual(new Set([0, 1, 2]));

    // Another queue and one without get each question too.
    heard.length = 0;
    stops.push(await serve(other, 3, "auditors"), await serve(other, 4));
    await pause(50);
    await bus.core.request(releaseCommand, host, release);
    await eventually(() => heard.length === 3);
    const who = heard.map(([index]) => index).sort();
    expect(who.slice(1)).toEqual([3, 4]);
    expect(who[0]).toBeLessThan(3);
    for (const stop of stops) await stop();
  });

  test("when one of a queue dies or stops, the others answer all questions", async () => {
    const host = fresh("h");
    const [dying, leaving, staying] = await Promise.all(["d", "l", "s"].map((name) => buses.connect(name)));
    const answeredBy = (name: string) => async () => ({ hostId: name, epoch: 1, sequence: 1 });
    const options = { queue: "workers" };
    await dying!.core.serve(pingCommand, host, () => new Promise(() => {}), options);
    const stopLeaving = await leaving!.core.serve(pingCommand, host, answeredBy("leaving"), options);
    await staying!.core.serve(pingCommand, host, answeredBy("staying"), options);
    await pause(50);
    await dying!.close();
    await stopLeaving();
    await pause(50);
    for (let n = 0; n < 30; n++)
      expect((await bus.core.request(pingCommand, host, {})).hostId).toBe("staying");
    await staying!.close();
    await pause(50);
    await expect(bus.core.request(pingCommand, host, {})).rejects.toMatchObject({ code: "no_responders" });
  });

  test("an error in the handler comes back with its words", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(releaseCommand, host, async () => {
      throw new Error("the slot is\nalready gone");
    });
    await pause(50);
    const failed = bus.core.request(releaseCommand, host, release);
    await expect(failed).rejects.toMatchObject({ code: "internal" });
    await expect(failed).rejects.toThrow(/already gone/);
    await stop();
  });

  test("a question or an answer of the wrong shape is an internal error that says where", async () => {
    const host = fresh("h");
    const careless: Command<unknown, unknown> = {
      ...releaseCommand,
      request: z.unknown(),
      answer: z.unknown(),
    };
    const stop = await other.core.serve(careless, host, async () => ({ released: "perhaps" }));
    const strictHost = fresh("h");
    const stopStrict = await other.core.serve(releaseCommand, strictHost, async () => ({ released: true }));
    await pause(50);
    const badAnswer = bus.core.request(releaseCommand, host, release);
    await expect(badAnswer).rejects.toMatchObject({ code: "internal" });
    await expect(badAnswer).rejects.toThrow(/released/);
    const badQuestion = bus.core.request(careless, strictHost, { tenant: "t" });
    await expect(badQuestion).rejects.toMatchObject({ code: "internal" });
    await expect(badQuestion).rejects.toThrow(/session/);
    await stop();
    await stopStrict();
  });

  test("questions to one host are answered side by side", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(releaseCommand, host, async () => {
      await pause(200);
      return { released: true };
    });
    await pause(50);
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: 5 }, () => bus.core.request(releaseCommand, host, release)));
    expect(performance.now() - startedAt).toBeLessThan(600);
    await stop();
  });

  test("a stop waits for the answers in hand", async () => {
    const host = fresh("h");
    let answered = false;
    const stop = await other.core.serve(releaseCommand, host, async () => {
      await pause(200);
      answered = true;
      return { released: true };
    });
    await pause(50);
    const asked = bus.core.request(releaseCommand, host, release);
    await pause(50);
    await stop();
    expect(answered).toBe(true);
    expect(await asked).toEqual({ released: true });
  });

  test("everybody who listens hears an announcement, the speaker too", async () => {
    const id = fresh("h");
    const heard: string[] = [];
    const stops = await Promise.all(
      [bus, other].map((listener, index) =>
        listener.core.subscribe(hostChanges, (host) => {
          if (host.hostId === id) heard.push(`${index} ${host.sequence}`);
        }),
      ),
    );
    await pause(50);
    bus.core.publishTransient(hostChanges, aHost(id, 7));
    await eventually(() => heard.length === 2);
    expect(heard.sort()).toEqual(["0 7", "1 7"]);
    for (const stop of stops) await stop();
    await pause(50);
    bus.core.publishTransient(hostChanges, aHost(id, 8));
    await pause(100);
    expect(heard).toHaveLength(2);
  });

  test("an announcement of the wrong shape, or one whose listener throws, harms no later one", async () => {
    const id = fresh("h");
    const heard: number[] = [];
    const stop = await other.core.subscribe(hostChanges, (host) => {
      if (host.hostId !== id) return;
      heard.push(host.sequence);
      if (host.sequence === 1) throw new Error("a bug in the listener");
    });
    await pause(50);
    bus.core.publishTransient({ ...hostChanges, schema: z.unknown() as never }, { id } as never);
    bus.core.publishTransient(hostChanges, aHost(id, 1));
    bus.core.publishTransient(hostChanges, aHost(id, 2));
    await eventually(() => heard.length === 2);
    expect(heard).toEqual([1, 2]);
    await stop();
  });

  test("a bus that was closed announces nothing, and its calls fail", async () => {
    const closed = await buses.connect("closed");
    expect(closed.isConnected()).toBe(true);
    await closed.close();
    expect(closed.isConnected()).toBe(false);
    expect(() => closed.core.publishTransient(hostChanges, aHost("h"))).not.toThrow();
    await expect(closed.core.request(releaseCommand, "h", release)).rejects.toMatchObject({
      code: "storage_unavailable",
    });
  });
});
