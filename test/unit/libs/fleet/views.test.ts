// The hosts and the sessions as one process sees them.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { type Bucket, hosts, sessions } from "../../../../libs/contracts/buckets.ts";
import { hostChanges } from "../../../../libs/contracts/streams.ts";
import { watchHosts } from "../../../../libs/fleet/host-view.ts";
import { watchSessions } from "../../../../libs/fleet/session-view.ts";
import { aHost, aSession } from "../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../kit/random.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

function world() {
  const clock = createSimClock();
  const server = createMemoryServer({ clock, random: createRandom(1) });
  const bus = server.connect("tester");
  return { clock, bus };
}

const save = async <T>(bus: Bus, bucket: Bucket<T>, value: T, revision = 0): Promise<number> =>
  (await bus.kv.update(bucket, value, revision)) ?? -1;

describe("the hosts", () => {
  test("that are registered are known when the view is there, later ones as they come", async () => {
    const { clock, bus } = world();
    await save(bus, hosts, aHost("h1"));
    const view = await watchHosts(bus);
    expect(view.all().map(({ hostId: id }) => id)).toEqual(["h1"]);
    const told: string[] = [];
    view.onChange((host, id) => told.push(`${id} ${host?.sequence}`));
    await save(bus, hosts, aHost("h2", 5));
    await clock.flush();
    expect(view.get("h2")?.sequence).toBe(5);
    expect(told).toEqual(["h2 5"]);
  });

  test("are known by what they announce before their bucket says it", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await clock.flush();
    bus.core.publishTransient(hostChanges, aHost("h", 3, { load: 0.5 }));
    await clock.flush();
    expect(view.get("h")?.load).toBe(0.5);
  });

  test("an older word, or one of an older life, is dropped, whichever way it comes", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await clock.flush();
    const told: string[] = [];
    view.onChange((host) => told.push(`${host?.epoch}.${host?.sequence}`));
    const say = async (epoch: number, sequence: number) => {
      bus.core.publishTransient(hostChanges, aHost("h", sequence, { epoch }));
      await clock.flush();
    };
    await say(4, 2);
    await say(4, 1);
    await say(4, 2);
    await say(3, 9);
    await say(5, 1);
    await save(bus, hosts, aHost("h", 7, { epoch: 4 }));
    await clock.flush();
    expect(told).toEqual(["4.2", "5.1"]);
    expect(view.get("h")).toMatchObject({ epoch: 5, sequence: 1 });
  });

  test("a host whose registration is removed is gone, and that is told", async () => {
    const { clock, bus } = world();
    const revision = await save(bus, hosts, aHost("h"));
    const view = await watchHosts(bus);
    const gone: string[] = [];
    view.onChange((host, id) => {
      if (host === undefined) gone.push(id);
    });
    await bus.kv.delete(hosts, "h", revision);
    await clock.flush();
    expect([view.all(), gone]).toEqual([[], ["h"]]);
  });

  test("nothing is followed after a stop", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await view.stop();
    await save(bus, hosts, aHost("h"));
    bus.core.publishTransient(hostChanges, aHost("h2"));
    await clock.flush();
    expect(view.all()).toEqual([]);
  });
});

describe("the sessions", () => {
  test("are seen with the time since when each is as it is", async () => {
    const { clock, bus } = world();
    const first = await save(bus, sessions, aSession("s"));
    await clock.advance(1000);
    const view = await watchSessions(bus, clock);
    expect(view.get("t", "s")).toMatchObject({ revision: first, seenAtMs: 1000 });
    await clock.advance(500);
    await save(bus, sessions, aSession("s", { state: "ended" }), first);
    await clock.flush();
    expect(view.get("t", "s")).toMatchObject({ record: { state: "ended" }, seenAtMs: 1500 });
    expect(view.get("other", "s")).toBeUndefined();
  });

  test("that wait are told in the order in which they were asked for, of all profiles or of one", async () => {
    const { clock, bus } = world();
    const view = await watchSessions(bus, clock);
    const asked = (id: string, askedAt: number, profile = "echo") =>
      save(bus, sessions, aSession(id, { profile, queueSeq: askedAt }));
    await asked("young", 3);
    const revision = await asked("old", 1);
    await asked("other", 2, "assistant");
    await asked("second", 4);
    await clock.flush();
    const waiting = (profile?: string) => view.waiting(profile).map(({ record }) => record.sessionId);
    expect(waiting()).toEqual(["old", "other", "young", "second"]);
    expect(waiting("echo")).toEqual(["old", "young", "second"]);
    await save(bus, sessions, aSession("old", { state: "dispatched" }), revision);
    await clock.flush();
    expect(waiting("echo")).toEqual(["young", "second"]);
    expect(view.all()).toHaveLength(4);
  });

  test("changes and removals are told until the listener leaves", async () => {
    const { clock, bus } = world();
    const view = await watchSessions(bus, clock);
    const told: string[] = [];
    const leave = view.onChange(({ key, seen }) => told.push(`${key} ${seen?.record.state}`));
    const first = await save(bus, sessions, aSession("s"));
    await clock.flush();
    const second = await save(bus, sessions, aSession("s", { state: "ended" }), first);
    await clock.flush();
    await bus.kv.delete(sessions, "t.s", second);
    await clock.flush();
    expect(told).toEqual(["t.s requested", "t.s ended", "t.s undefined"]);
    expect([view.all(), view.waiting()]).toEqual([[], []]);
    leave();
    await save(bus, sessions, aSession("other"));
    await clock.flush();
    expect(told).toHaveLength(3);
    await view.stop();
    await save(bus, sessions, aSession("last"));
    await clock.flush();
    expect(view.get("t", "last")).toBeUndefined();
  });
});
