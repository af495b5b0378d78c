// Requests, replies and transient messages behave the same in memory and on NATS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Bus } from "../../libs/bus/bus.ts";
import { type Command, hostChanges, pingCommand, releaseCommand } from "../../libs/contracts/streams.ts";
import { aHost } from "../kit/fixtures/sessions.ts";
import { eventually, fresh, hasArrived, kinds, type TestBuses } from "./buses.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(kinds)("core bus on %s", (_kind, start) => {
  let buses: TestBuses;
  let bus: Bus;
  let other: Bus;
  beforeAll(async () => {
    buses = await start();
    bus = await buses.connect("client");
    other = await buses.connect("host");
  });
  afterAll(() => buses?.stop());

  const release = { tenant: "t", sessionId: "s", attempt: 1, reason: "ended" };

  test("delivers a request to its host and returns the answer", async () => {
    const host = fresh("h");
    const received: unknown[] = [];
    const stop = await other.core.serve(releaseCommand, host, async (request) => {
      received.push(request);
      return { released: request.sessionId === "s" };
    });
    await hasArrived(other);
    expect(await bus.core.request(releaseCommand, host, release)).toEqual({ released: true });
    expect(received).toEqual([release]);
    expect(received[0]).not.toBe(release);
    await stop();
  });

  test("fails a request to an unserved host at once", async () => {
    const startedAt = performance.now();
    await expect(bus.core.request(pingCommand, fresh("h"), {})).rejects.toMatchObject({
      code: "no_responders",
    });
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  test("fails requests after the host stopped serving", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(releaseCommand, host, async () => ({ released: true }));
    await hasArrived(other);
    await stop();
    await hasArrived(other);
    await expect(bus.core.request(releaseCommand, host, release)).rejects.toMatchObject({
      code: "no_responders",
    });
  });

  test("fails requests after the host's bus was closed", async () => {
    const host = fresh("h");
    const leaving = await buses.connect("leaving");
    await leaving.core.serve(releaseCommand, host, async () => ({ released: true }));
    await hasArrived(leaving);
    await leaving.close();
    // The server notices the end of a connection a moment later.
    await eventually(async () => {
      const answer = bus.core.request(releaseCommand, host, release);
      return await answer.catch(({ code }) => code === "no_responders");
    });
  });

  test("fails a request whose answer takes too long with a time-out", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(pingCommand, host, async () => {
      await pause(1300);
      return { hostId: host, epoch: 1, sequence: 1 };
    });
    await hasArrived(other);
    const startedAt = performance.now();
    await expect(bus.core.request(pingCommand, host, {})).rejects.toMatchObject({ code: "timeout" });
    expect(performance.now() - startedAt).toBeGreaterThan(pingCommand.timeoutMs - 50);
    await stop();
  });

  test("shares requests among the members of a queue group, each request once", async () => {
    const host = fresh("h");
    const members = await Promise.all(["q1", "q2", "q3"].map((name) => buses.connect(name)));
    const received: [number, string][] = [];
    const serve = (by: Bus, index: number, queue?: string) =>
      by.core.serve(
        releaseCommand,
        host,
        async ({ sessionId }) => {
          received.push([index, sessionId]);
          return { released: true };
        },
        queue === undefined ? {} : { queue },
      );
    const stops = await Promise.all(members.map((member, index) => serve(member, index, "workers")));
    await hasArrived(...members);
    const ids = Array.from({ length: 60 }, (_, index) => `s${index}`);
    await Promise.all(
      ids.map((sessionId) => bus.core.request(releaseCommand, host, { ...release, sessionId })),
    );
    expect(received.map(([, sessionId]) => sessionId).sort()).toEqual([...ids].sort());
    // The probability that one of three members gets none of 60 requests is 1 in 10,000,000,000.
    expect(new Set(received.map(([index]) => index))).toEqual(new Set([0, 1, 2]));

    // Another queue group and a server without a group also get each request.
    received.length = 0;
    stops.push(await serve(other, 3, "auditors"), await serve(other, 4));
    await hasArrived(other);
    await bus.core.request(releaseCommand, host, release);
    await eventually(() => received.length === 3);
    const who = received.map(([index]) => index).sort();
    expect(who.slice(1)).toEqual([3, 4]);
    expect(who[0]).toBeLessThan(3);
    for (const stop of stops) await stop();
  });

  test("routes all requests to the other members when a member of a queue group dies or stops", async () => {
    const host = fresh("h");
    const [dying, leaving, staying] = await Promise.all(["d", "l", "s"].map((name) => buses.connect(name)));
    const answeredBy = (name: string) => async () => ({ hostId: name, epoch: 1, sequence: 1 });
    const options = { queue: "workers" };
    await dying!.core.serve(pingCommand, host, () => new Promise(() => {}), options);
    const stopLeaving = await leaving!.core.serve(pingCommand, host, answeredBy("leaving"), options);
    await staying!.core.serve(pingCommand, host, answeredBy("staying"), options);
    await hasArrived(dying!, leaving!, staying!);
    await dying!.close();
    await stopLeaving();
    await hasArrived(leaving!);
    const ask = () => bus.core.request(pingCommand, host, {}).catch(({ code }) => ({ hostId: code }));
    const answers = async () => {
      const seen = new Set<string>();
      for (let n = 0; n < 30; n++) seen.add((await ask()).hostId);
      return [...seen];
    };
    // The server notices the end of a connection a moment later.
    await eventually(async () => (await answers()).join() === "staying");
    await staying!.close();
    await eventually(async () => (await ask()).hostId === "no_responders");
  });

  test("returns the handler's error with its message", async () => {
    const host = fresh("h");
    const stop = await other.core.serve(releaseCommand, host, async () => {
      throw new Error("the slot is\nalready gone");
    });
    await hasArrived(other);
    const failed = bus.core.request(releaseCommand, host, release);
    await expect(failed).rejects.toMatchObject({ code: "internal" });
    await expect(failed).rejects.toThrow(/already gone/);
    await stop();
  });

  test("fails a malformed request or answer with an internal error that names the field", async () => {
    const host = fresh("h");
    const careless: Command<unknown, unknown> = {
      ...releaseCommand,
      request: z.unknown(),
      answer: z.unknown(),
    };
    const stop = await other.core.serve(careless, host, async () => ({ released: "perhaps" }));
    const strictHost = fresh("h");
    const stopStrict = await other.core.serve(releaseCommand, strictHost, async () => ({ released: true }));
    await hasArrived(other);
    const badAnswer = bus.core.request(releaseCommand, host, release);
    await expect(badAnswer).rejects.toMatchObject({ code: "internal" });
    await expect(badAnswer).rejects.toThrow(/released/);
    const badRequest = bus.core.request(careless, strictHost, { tenant: "t" });
    await expect(badRequest).rejects.toMatchObject({ code: "internal" });
    await expect(badRequest).rejects.toThrow(/session/);
    await stop();
    await stopStrict();
  });

  test("runs requests to one host concurrently", async () => {
    const host = fresh("h");
    let running = 0;
    // Each request is answered when all five have arrived.
    const stop = await other.core.serve(releaseCommand, host, async () => {
      running += 1;
      await eventually(() => running === 5);
      return { released: true };
    });
    await hasArrived(other);
    await Promise.all(Array.from({ length: 5 }, () => bus.core.request(releaseCommand, host, release)));
    expect(running).toBe(5);
    await stop();
  });

  test("waits for requests in progress when a host stops serving", async () => {
    const host = fresh("h");
    let [started, answered] = [false, false];
    const stop = await other.core.serve(releaseCommand, host, async () => {
      started = true;
      await pause(200);
      answered = true;
      return { released: true };
    });
    await hasArrived(other);
    const answer = bus.core.request(releaseCommand, host, release);
    await eventually(() => started);
    await stop();
    expect(answered).toBe(true);
    expect(await answer).toEqual({ released: true });
  });

  test("delivers a transient message to every subscriber, including the publisher's process", async () => {
    const id = fresh("h");
    const received: string[] = [];
    const stops = await Promise.all(
      [bus, other].map((subscriber, index) =>
        subscriber.core.subscribe(hostChanges, (host) => {
          if (host.hostId === id) received.push(`${index} ${host.sequence}`);
        }),
      ),
    );
    await hasArrived(bus, other);
    bus.core.publishTransient(hostChanges, aHost(id, 7));
    await eventually(() => received.length === 2);
    expect(received.sort()).toEqual(["0 7", "1 7"]);
    for (const stop of stops) await stop();
    await hasArrived(bus, other);
    bus.core.publishTransient(hostChanges, aHost(id, 8));
    await pause(100);
    expect(received).toHaveLength(2);
  });

  test("delivers later transient messages after a malformed one and after a subscriber's error", async () => {
    const id = fresh("h");
    const received: number[] = [];
    const stop = await other.core.subscribe(hostChanges, (host) => {
      if (host.hostId !== id) return;
      received.push(host.sequence);
      if (host.sequence === 1) throw new Error("a bug in the subscriber");
    });
    await hasArrived(other);
    bus.core.publishTransient({ ...hostChanges, schema: z.unknown() as never }, { id } as never);
    bus.core.publishTransient(hostChanges, aHost(id, 1));
    bus.core.publishTransient(hostChanges, aHost(id, 2));
    await eventually(() => received.length === 2);
    expect(received).toEqual([1, 2]);
    await stop();
  });

  test("publishes nothing and fails requests once it is closed", async () => {
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
