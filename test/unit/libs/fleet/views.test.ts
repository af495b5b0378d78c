// Hosts and sessions as one process sees them.
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

describe("watchHosts", () => {
  test("has the registered hosts at once, and later ones as they arrive", async () => {
    const { clock, bus } = world();
    await save(bus, hosts, aHost("h1"));
    const view = await watchHosts(bus);
    expect(view.all().map(({ hostId: id }) => id)).toEqual(["h1"]);
    const changes: string[] = [];
    view.onChange((host, id) => changes.push(`${id} ${host?.sequence}`));
    await save(bus, hosts, aHost("h2", 5));
    await clock.flush();
    expect(view.get("h2")?.sequence).toBe(5);
    expect(changes).toEqual(["h2 5"]);
  });

  test("shows a published host before its bucket does", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await clock.flush();
    bus.core.publishTransient(hostChanges, aHost("h", 3, { load: 0.5 }));
    await clock.flush();
    expect(view.get("h")?.load).toBe(0.5);
  });

  test("drops an older publication, or one of an earlier epoch, from either source", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await clock.flush();
    const changes: string[] = [];
    view.onChange((host) => changes.push(`${host?.epoch}.${host?.sequence}`));
    const publish = async (epoch: number, sequence: number) => {
      bus.core.publishTransient(hostChanges, aHost("h", sequence, { epoch }));
      await clock.flush();
    };
    await publish(4, 2);
    await publish(4, 1);
    await publish(4, 2);
    await publish(3, 9);
    await publish(5, 1);
    await save(bus, hosts, aHost("h", 7, { epoch: 4 }));
    await clock.flush();
    expect(changes).toEqual(["4.2", "5.1"]);
    expect(view.get("h")).toMatchObject({ epoch: 5, sequence: 1 });
  });

  test("reports and drops a host whose registration is deleted", async () => {
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

  test("follows nothing after it was stopped", async () => {
    const { clock, bus } = world();
    const view = await watchHosts(bus);
    await view.stop();
    await save(bus, hosts, aHost("h"));
    bus.core.publishTransient(hostChanges, aHost("h2"));
    await clock.flush();
    expect(view.all()).toEqual([]);
  });
});

describe("watchSessions", () => {
  test("shows sessions with the time since their last change", async () => {
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

  test("lists waiting sessions in the order of their requests, of all profiles or of one", async () => {
    const { clock, bus } = world();
    const view = await watchSessions(bus, clock);
    const request = (id: string, queueSeq: number, profile = "echo") =>
      save(bus, sessions, aSession(id, { profile, queueSeq: queueSeq }));
    await request("young", 3);
    const revision = await request("old", 1);
    await request("other", 2, "assistant");
    await request("second", 4);
    await clock.flush();
    const waiting = (profile?: string) => view.waiting(profile).map(({ record }) => record.sessionId);
    expect(waiting()).toEqual(["old", "other", "young", "second"]);
    expect(waiting("echo")).toEqual(["old", "young", "second"]);
    await save(bus, sessions, aSession("old", { state: "dispatched" }), revision);
    await clock.flush();
    expect(waiting("echo")).toEqual(["young", "second"]);
    expect(view.all()).toHaveLength(4);
  });

  test("reports changes and deletions until the listener is removed", async () => {
    const { clock, bus } = world();
    const view = await watchSessions(bus, clock);
    const changes: string[] = [];
    const stopListening = view.onChange(({ key, seen }) => changes.push(`${key} ${seen?.record.state}`));
    const first = await save(bus, sessions, aSession("s"));
    await clock.flush();
    const second = await save(bus, sessions, aSession("s", { state: "ended" }), first);
    await clock.flush();
    await bus.kv.delete(sessions, "t.s", second);
    await clock.flush();
    expect(changes).toEqual(["t.s requested", "t.s ended", "t.s undefined"]);
    expect([view.all(), view.waiting()]).toEqual([[], []]);
    stopListening();
    await save(bus, sessions, aSession("other"));
    await clock.flush();
    expect(changes).toHaveLength(3);
    await view.stop();
    await save(bus, sessions, aSession("last"));
    await clock.flush();
    expect(view.get("t", "last")).toBeUndefined();
  });
});
