// Processes that crash, pause or are cut off from the in-memory bus, in simulated time.
import { describe, expect, test } from "vitest";
import type { Ack } from "../../../../../libs/bus/bus.ts";
import { pools } from "../../../../../libs/contracts/buckets.ts";
import { hostChanges, pingCommand, sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { sleep } from "../../../../../libs/runtime/clock.ts";
import { aHost, anEvent, aPool } from "../../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../../kit/worlds/memory-world.ts";

const options = { durable: "workers", description: "a test", concurrency: 4 };
const ping = async () => ({ hostId: "h", epoch: 1, sequence: 1 });

describe("a crashed process", () => {
  test("loses its message to another process only after the ack wait", async () => {
    const { clock, connect, outcome } = world();
    const [doomed, other, publisher] = [connect("doomed"), connect("other"), connect("speaker")];
    const seen: string[] = [];
    await outcome(
      doomed.streams.consume(sessionEvents, options, async () => {
        seen.push(`doomed at ${clock.monotonic()}`);
        await sleep(clock, MINUTE_MS);
        seen.push("doomed ended");
        return "ack";
      }),
    );
    await outcome(publisher.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(7000);
    doomed.crash();
    await outcome(
      other.streams.consume(sessionEvents, options, async (_event, { deliveries }) => {
        seen.push(`other at ${clock.monotonic()}, delivery ${deliveries}`);
        return "ack";
      }),
    );
    await clock.advance(5 * MINUTE_MS);
    // The last sign of life was at 6,000 ms.
    expect(seen).toEqual(["doomed at 0", "other at 11000, delivery 2", "doomed ended"]);
  });

  test("publishes nothing, and none of its calls returns", async () => {
    const { clock, server, connect, outcome } = world();
    const [doomed, other] = [connect("doomed"), connect("other")];
    const received: string[] = [];
    await outcome(other.core.subscribe(hostChanges, (host) => received.push(host.hostId)));
    const calls: string[] = [];
    const follow = (name: string, call: Promise<unknown>) =>
      call.then(
        () => calls.push(name),
        () => calls.push(name),
      );
    void follow("before", doomed.kv.get(pools, "echo"));
    doomed.crash();
    void follow("publish", doomed.streams.publish(sessionEvents, anEvent("s")));
    void follow("save", doomed.kv.update(pools, aPool("echo"), 0));
    void follow("request", doomed.core.request(pingCommand, "h", {}));
    void follow(
      "consume",
      doomed.streams.consume(sessionEvents, options, async () => "ack"),
    );
    doomed.core.publishTransient(hostChanges, aHost("h"));
    await clock.advance(MINUTE_MS);
    expect([calls, received]).toEqual([[], []]);
    expect(server.stored(sessionEvents)).toEqual([]);
    expect(server.written(pools)).toEqual([]);
  });

  test("receives nothing, and nobody answers in its place", async () => {
    const { clock, connect, outcome } = world();
    const [doomed, other] = [connect("doomed"), connect("other")];
    const received: string[] = [];
    await outcome(doomed.core.serve(pingCommand, "h", ping));
    await outcome(doomed.core.subscribe(hostChanges, () => received.push("announcement")));
    await outcome(doomed.kv.watch(pools, () => received.push("change")));
    await clock.flush();
    doomed.crash();
    await expect(outcome(other.core.request(pingCommand, "h", {}))).rejects.toMatchObject({
      code: "no_responders",
    });
    other.core.publishTransient(hostChanges, aHost("h"));
    await outcome(other.kv.update(pools, aPool("echo"), 0));
    await clock.advance(MINUTE_MS);
    expect(received).toEqual([]);
  });
});

describe("a paused process", () => {
  test("answers no requests, is gone after a while, and answers again when it resumes", async () => {
    const { clock, connect, outcome } = world();
    const [frozen, other] = [connect("frozen"), connect("other")];
    await outcome(frozen.core.serve(pingCommand, "h", ping));
    frozen.pause();
    const request = () => outcome(other.core.request(pingCommand, "h", {}));
    await expect(request()).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(20_000);
    await expect(request()).rejects.toMatchObject({ code: "no_responders" });
    frozen.resume();
    expect(await request()).toMatchObject({ hostId: "h" });
  });

  test("sends and receives only after it resumes", async () => {
    const { clock, server, connect, outcome } = world();
    const [frozen, other] = [connect("frozen"), connect("other")];
    const seen: (number | undefined)[] = [];
    await outcome(frozen.kv.watch(pools, ({ value }) => seen.push(value?.min)));
    frozen.pause();
    await outcome(other.kv.update(pools, aPool("echo", 7), 0));
    const publishing = frozen.streams.publish(sessionEvents, anEvent("s"));
    await clock.advance(1000);
    expect([seen, server.stored(sessionEvents)]).toEqual([[], []]);
    frozen.resume();
    await outcome(publishing);
    expect([seen, server.stored(sessionEvents).length]).toEqual([[7], 1]);
  });

  test("loses its message to another process, and does no harm with a late ack", async () => {
    const { clock, server, connect, outcome } = world();
    const [frozen, other] = [connect("frozen"), connect("other")];
    const seen: string[] = [];
    const handle = (name: string) => async (): Promise<Ack> => {
      seen.push(name);
      await sleep(clock, 100);
      return "ack";
    };
    await outcome(frozen.streams.consume(sessionEvents, options, handle("frozen")));
    await outcome(other.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(50);
    frozen.pause();
    await outcome(other.streams.consume(sessionEvents, options, handle("other")));
    await clock.advance(20_000);
    expect(seen).toEqual(["frozen", "other"]);
    frozen.resume();
    await clock.advance(MINUTE_MS);
    // Another message may have been sent while the process still seemed to request messages.
    expect(seen.slice(2).every((name) => name === "frozen")).toBe(true);
    expect(seen.length).toBeLessThanOrEqual(3);
    expect(server.backlog(sessionEvents, options.durable)).toEqual({ pending: 0, unacked: 0 });
  });
});

describe("a process that is cut off", () => {
  test("gets timeouts, notices the cut, and continues its watch where it stopped", async () => {
    const { clock, connect, outcome } = world();
    const [lonely, other] = [connect("lonely"), connect("other")];
    const seen: (number | undefined)[] = [];
    await outcome(lonely.kv.watch(pools, ({ value }) => seen.push(value?.min)));
    lonely.cut();
    const first = (await outcome(other.kv.update(pools, aPool("echo", 1), 0))) ?? 0;
    await outcome(other.kv.update(pools, aPool("echo", 2), first));
    const read = outcome(lonely.kv.get(pools, "echo"));
    expect(lonely.isConnected()).toBe(true);
    await expect(read).rejects.toMatchObject({ code: "storage_unavailable" });
    expect(lonely.isConnected()).toBe(false);
    expect(seen).toEqual([]);
    lonely.heal();
    await clock.advance(1);
    expect(seen).toEqual([1, 2]);
    expect((await outcome(lonely.kv.get(pools, "echo")))?.value.min).toBe(2);
  });

  test("can't know whether its writes are lost or arrive later", async () => {
    const counts = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const { clock, server, connect, outcome } = world({}, seed);
      const lonely = connect("lonely");
      lonely.cut();
      await expect(outcome(lonely.streams.publish(sessionEvents, anEvent("s")))).rejects.toMatchObject({
        code: "storage_unavailable",
      });
      lonely.heal();
      await clock.advance(1000);
      counts.add(server.stored(sessionEvents).length);
    }
    expect([...counts].sort()).toEqual([0, 1]);
  });
});
