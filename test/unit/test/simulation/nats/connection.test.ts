// Processes that are killed, frozen or cut off from the memory bus, in simulated time.
import { describe, expect, test } from "vitest";
import type { Ack } from "../../../../../libs/bus/bus.ts";
import { pools } from "../../../../../libs/contracts/buckets.ts";
import { hostChanges, pingCommand, sessionEvents } from "../../../../../libs/contracts/streams.ts";
import { sleep } from "../../../../../libs/runtime/clock.ts";
import { aHost, anEvent, aPool } from "../../../../kit/fixtures/sessions.ts";
import { MINUTE_MS, world } from "../../../../kit/worlds/memory-world.ts";

const options = { durable: "workers", concurrency: 4 };
const ping = async () => ({ hostId: "h", epoch: 1, sequence: 1 });

describe("a crashed process", () => {
  test("its message is given to another one only after the ack wait", async () => {
    const { clock, connect, outcome } = world();
    const [doomed, other, speaker] = [connect("doomed"), connect("other"), connect("speaker")];
    const seen: string[] = [];
    await outcome(
      doomed.streams.consume(sessionEvents, options, async () => {
        seen.push(`doomed at ${clock.monotonic()}`);
        await sleep(clock, MINUTE_MS);
        seen.push("doomed ended");
        return "ack";
      }),
    );
    await outcome(speaker.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(7000);
    doomed.crash();
    await outcome(
      other.streams.consume(sessionEvents, options, async (_event, { deliveries }) => {
        seen.push(`other at ${clock.monotonic()}, delivery ${deliveries}`);
        return "ack";
      }),
    );
    await clock.advance(5 * MINUTE_MS);
    // Its last sign of life was at 6,000 ms.
    expect(seen).toEqual(["doomed at 0", "other at 11000, delivery 2", "doomed ended"]);
  });

  test("nothing that it says arrives, and no call of it comes back", async () => {
    const { clock, server, connect, outcome } = world();
    const [doomed, other] = [connect("doomed"), connect("other")];
    const heard: string[] = [];
    await outcome(other.core.subscribe(hostChanges, (host) => heard.push(host.hostId)));
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
    expect([calls, heard]).toEqual([[], []]);
    expect(server.stored(sessionEvents)).toEqual([]);
    expect(server.written(pools)).toEqual([]);
  });

  test("it hears nothing, and nobody answers in its place", async () => {
    const { clock, connect, outcome } = world();
    const [doomed, other] = [connect("doomed"), connect("other")];
    const heard: string[] = [];
    await outcome(doomed.core.serve(pingCommand, "h", ping));
    await outcome(doomed.core.subscribe(hostChanges, () => heard.push("announcement")));
    await outcome(doomed.kv.watch(pools, () => heard.push("change")));
    await clock.flush();
    doomed.crash();
    await expect(outcome(other.core.request(pingCommand, "h", {}))).rejects.toMatchObject({
      code: "no_responders",
    });
    other.core.publishTransient(hostChanges, aHost("h"));
    await outcome(other.kv.update(pools, aPool("echo"), 0));
    await clock.advance(MINUTE_MS);
    expect(heard).toEqual([]);
  });
});

describe("a paused process", () => {
  test("it is asked in vain, then counts as gone, and is there again when it resumes", async () => {
    const { clock, connect, outcome } = world();
    const [frozen, other] = [connect("frozen"), connect("other")];
    await outcome(frozen.core.serve(pingCommand, "h", ping));
    frozen.pause();
    const ask = () => outcome(other.core.request(pingCommand, "h", {}));
    await expect(ask()).rejects.toMatchObject({ code: "timeout" });
    await clock.advance(20_000);
    await expect(ask()).rejects.toMatchObject({ code: "no_responders" });
    frozen.resume();
    expect(await ask()).toMatchObject({ hostId: "h" });
  });

  test("what it hears and says waits until it resumes", async () => {
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

  test("its message goes to another one meanwhile, and its own late ack does no harm", async () => {
    const { clock, server, connect, outcome } = world();
    const [frozen, other] = [connect("frozen"), connect("other")];
    const seen: string[] = [];
    const take = (name: string) => async (): Promise<Ack> => {
      seen.push(name);
      await sleep(clock, 100);
      return "ack";
    };
    await outcome(frozen.streams.consume(sessionEvents, options, take("frozen")));
    await outcome(other.streams.publish(sessionEvents, anEvent("s")));
    await clock.advance(50);
    frozen.pause();
    await outcome(other.streams.consume(sessionEvents, options, take("other")));
    await clock.advance(20_000);
    expect(seen).toEqual(["frozen", "other"]);
    frozen.resume();
    await clock.advance(MINUTE_MS);
    // One more may have been sent to it while it still seemed to ask for messages.
    expect(seen.slice(2).every((name) => name === "frozen")).toBe(true);
    expect(seen.length).toBeLessThanOrEqual(3);
    expect(server.backlog(sessionEvents, options.durable)).toEqual({ pending: 0, unacked: 0 });
  });
});

describe("a process that is cut off", () => {
  test("its calls time out, it notices, and its watch goes on where it stopped", async () => {
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

  test("what it wrote meanwhile was lost or comes later, and it can't tell", async () => {
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
