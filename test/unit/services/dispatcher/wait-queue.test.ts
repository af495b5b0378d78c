// The order in which waiting sessions are retried, and when.
import { describe, expect, test } from "vitest";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../../libs/contracts/streams.ts";
import { watchSessions } from "../../../../libs/fleet/session-view.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { WaitQueue } from "../../../../services/dispatcher/wait-queue.ts";
import { aSession } from "../../../kit/fixtures/sessions.ts";
import { world } from "../../../kit/worlds/memory-world.ts";

describe("WaitQueue", () => {
  async function scene(records: SessionRecord[]) {
    const { clock, server, connect, outcome } = world();
    const bus = connect("dispatcher");
    const state = { free: 0 };
    const revisions = new Map<string, number>();
    const save = async (record: SessionRecord) => {
      const revision = await outcome(bus.kv.update(sessions, record, revisions.get(record.sessionId) ?? 0));
      revisions.set(record.sessionId, revision ?? 0);
    };
    for (const record of records) await save(record);
    const view = await outcome(watchSessions(bus, clock));
    const queue = new WaitQueue({
      bus,
      clock,
      log: silentLog,
      sessions: view,
      freeFor: () => state.free,
    });
    const retried = () => server.stored(sessionEvents).map(({ message }) => message.sessionId);
    return { clock, server, state, save, queue, retried };
  }

  test("retries as many sessions as agents are free, in the order of the stream, not of clocks", async () => {
    const at = (time: string) => [{ state: "requested" as const, at: time, attempt: 1 }];
    const { clock, state, queue, retried } = await scene([
      aSession("third", { queueSeq: 9, history: at("2025-01-01T00:00:00Z") }),
      aSession("first", { queueSeq: 2, history: at("2026-01-01T02:00:00Z") }),
      aSession("second", { queueSeq: 5, history: at("2026-01-01T01:00:00Z") }),
    ]);
    expect(retried()).toEqual([]);
    state.free = 2;
    queue.check();
    await clock.advance(10);
    expect(retried()).toEqual(["first", "second"]);
  });

  test("checks every second, so that a lost update costs no more", async () => {
    const { clock, state, retried } = await scene([aSession("a", { queueSeq: 1 })]);
    await clock.advance(900);
    state.free = 1;
    await clock.advance(1200);
    expect(retried()).toContain("a");
  });

  test("retries a failed session after its backoff, not before", async () => {
    const { clock, state, queue, retried } = await scene([aSession("a", { queueSeq: 1, backoffMs: 800 })]);
    state.free = 1;
    queue.check();
    await clock.advance(700);
    expect(retried()).toEqual([]);
    await clock.advance(200);
    expect(retried()).toEqual(["a"]);
  });

  test("retries a session once a second at most, and repeats an event that was not stored", async () => {
    const { clock, server, state, queue, retried } = await scene([aSession("a", { queueSeq: 1 })]);
    state.free = 1;
    for (let turn = 0; turn < 5; turn++) {
      queue.check();
      await clock.advance(10);
    }
    expect(retried()).toEqual(["a"]);
    server.setFaults({ refuse: 1 });
    await clock.advance(2000);
    expect(retried()).toEqual(["a"]);
    server.calm();
    await clock.advance(1500);
    expect(retried().length).toBeGreaterThan(1);
  });

  test("ignores dispatched sessions", async () => {
    const { clock, state, save, queue, retried } = await scene([aSession("a", { queueSeq: 1 })]);
    await save(aSession("a", { queueSeq: 1, state: "dispatched", host: "h", hostEpoch: 1 }));
    state.free = 1;
    queue.check();
    await clock.advance(3000);
    expect(retried()).toEqual([]);
  });
});
