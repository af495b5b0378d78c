// Sessions as one process sees them.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { type Bucket, sessions } from "../../../../libs/contracts/buckets.ts";
import { watchSessions } from "../../../../libs/fleet/session-view.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
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

  test("lists the sessions of a room, also after their rooms have changed, until they are deleted", async () => {
    const { clock, bus } = world();
    const view = await watchSessions(bus, clock);
    const idsIn = (room: string) => view.inRoom("t", room).map(({ record }) => record.sessionId);
    const a = await save(bus, sessions, aSession("a", { room: "session-a" }));
    const b = await save(bus, sessions, aSession("b", { room: "lobby" }));
    await save(bus, sessions, aSession("a", { room: "lobby", state: "ended" }), a);
    await clock.flush();
    expect([idsIn("session-a"), idsIn("lobby").sort()]).toEqual([[], ["a", "b"]]);
    expect(view.inRoom("other", "lobby")).toEqual([]);
    await bus.kv.delete(sessions, "t.b", b);
    await clock.flush();
    expect(idsIn("lobby")).toEqual(["a"]);
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
