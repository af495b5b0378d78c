// A bucket as one process sees it.
import { describe, expect, it } from "vitest";
import { type Seen, type ViewChange, watchBucket } from "../../../../libs/bus/bucket-view.ts";
import type { Bus, Change } from "../../../../libs/bus/bus.ts";
import { overrideBus } from "../../../../libs/bus/override-bus.ts";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../kit/random.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

function world() {
  const clock = createSimClock();
  let emit: (change: Change<SessionRecord>) => void = () => {};
  const server = createMemoryServer({ clock, random: createRandom(1) });
  const bus = overrideBus(server.connect("tester"), {
    kv: {
      watch: (async (_bucket: unknown, handle: typeof emit) => {
        emit = handle;
        return async () => {};
      }) as Bus["kv"]["watch"],
    },
  });
  return { clock, bus, emit: (change: Change<SessionRecord>) => emit(change) };
}

describe("watchBucket", () => {
  it("keeps the time of the first sight of a revision that is repeated", async () => {
    const { clock, bus, emit } = world();
    const view = await watchBucket(bus, sessions, clock);
    emit({ key: "t.s", value: aSession("s"), revision: 4 });
    await clock.advance(1000);
    emit({ key: "t.s", value: aSession("s"), revision: 4 });
    expect(view.get("t.s")).toMatchObject({ revision: 4, seenAtMs: 0 });
    emit({ key: "t.s", value: aSession("s"), revision: 5 });
    expect(view.get("t.s")).toMatchObject({ revision: 5, seenAtMs: 1000 });
  });

  it("forgets a key whose deletion repeats the known revision", async () => {
    const { clock, bus, emit } = world();
    const view = await watchBucket(bus, sessions, clock);
    emit({ key: "t.s", value: aSession("s"), revision: 4 });
    emit({ key: "t.s", value: undefined, revision: 4 });
    expect(view.all()).toEqual([]);
  });

  it("reports a record that it does not keep as a change without an entry", async () => {
    const { clock, bus, emit } = world();
    const changes: ViewChange<SessionRecord>[] = [];
    const view = await watchBucket<SessionRecord>(bus, sessions, clock, {
      keep: ({ state }) => state !== "ended",
      onChange: (change) => changes.push(change),
    });
    emit({ key: "t.s", value: aSession("s"), revision: 4 });
    emit({ key: "t.s", value: aSession("s", { state: "ended" }), revision: 5 });
    expect(view.get("t.s")).toBeUndefined();
    expect(changes.map(({ revision, seen, before }) => [revision, seen?.revision, before?.revision])).toEqual(
      [
        [4, 4, undefined],
        [5, undefined, 4],
      ],
    );
  });

  it("passes the earlier entry to the notes of the next", async () => {
    const { clock, bus, emit } = world();
    type Notes = { readonly firstSeenAtMs: number };
    const note = (_: SessionRecord, before: Seen<SessionRecord, Notes> | undefined, nowMs: number) => ({
      firstSeenAtMs: before?.firstSeenAtMs ?? nowMs,
    });
    const view = await watchBucket<SessionRecord, Notes>(bus, sessions, clock, { note });
    await clock.advance(10);
    emit({ key: "t.s", value: aSession("s"), revision: 1 });
    await clock.advance(10);
    emit({ key: "t.s", value: aSession("s"), revision: 2 });
    expect(view.get("t.s")).toMatchObject({ firstSeenAtMs: 10, seenAtMs: 20 });
  });
});
