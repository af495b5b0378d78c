// A host keeps its sessions' conversations: the newest of them, never over a newer attempt's, never after the end.
import { describe, expect, test } from "vitest";
import { conversations, sessions } from "../../../../../libs/contracts/buckets.ts";
import { sessionKey } from "../../../../../libs/contracts/ids.ts";
import type { ConversationItem } from "../../../../../libs/contracts/sessions/conversation.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { watchSessions } from "../../../../../libs/fleet/session-view.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import type { Assignment } from "../../../../../services/agent-host/pool/slots.ts";
import { ConversationStore } from "../../../../../services/agent-host/sessions/conversation-store.ts";
import { deleteConversations } from "../../../../../services/janitor/delete-conversations.ts";
import { anAssignment } from "../../../../kit/fakes/scripted-processes.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";
import { world } from "../../../../kit/worlds/memory-world.ts";

const said = (...texts: string[]) => ({
  items: texts.map(
    (text, n): ConversationItem => ({
      id: text,
      type: "message",
      role: "user",
      content: [text],
      createdAt: n,
    }),
  ),
  omitted: 0,
});

function keeperScene() {
  const scene = world();
  const bus = scene.connect("test");
  const keeper = (name = "host", enabled = true) =>
    new ConversationStore({ bus: scene.connect(name), clock: scene.clock, log: silentLog, enabled });
  /** The dispatcher has saved the session as it is now. */
  const session = async (changed: Partial<SessionRecord> = {}) => {
    const record = aSession("s", { tenant: "t", state: "ready", attempt: 1, ...changed });
    const before = scene.server
      .entries(sessions)
      .find(({ key }) => key === sessionKey({ tenant: "t", sessionId: "s" }));
    return await scene.outcome(bus.kv.update(sessions, record, before?.revision ?? 0));
  };
  const stored = () => scene.server.entries(conversations).map(({ value }) => value);
  const of = (attempt = 1): Assignment => ({ ...anAssignment("s"), attempt, warmth: "warm" });
  const previousFor = (attempt: number, recovering = true) =>
    ({ tenant: "t", sessionId: "s", attempt, recovering }) as Parameters<ConversationStore["previousFor"]>[0];
  return { ...scene, bus, keeper, session, stored, of, previousFor };
}

describe("a conversation", () => {
  test("is stored as it grows, the newest of it, and not each step of a burst", async () => {
    const { keeper, session, stored, of, clock } = keeperScene();
    await session();
    const host = keeper();
    for (const count of [1, 2, 3, 4, 5]) host.keep(of(), said(..."abcde".slice(0, count)));
    await clock.advance(100);
    expect(stored()).toMatchObject([{ attempt: 1, checkpoint: 2, items: said(..."abcde").items }]);
  });

  test("is left for the next attempt only when one recovers, and only by an older one", async () => {
    const { keeper, session, of, previousFor, clock, outcome } = keeperScene();
    await session();
    const host = keeper();
    host.keep(of(), said("a"));
    await clock.advance(100);
    const next = keeper("other");
    expect(await outcome(next.previousFor(previousFor(2)))).toEqual({ attempt: 1, ...said("a") });
    expect(await outcome(next.previousFor(previousFor(2, false)))).toBeUndefined();
    expect(await outcome(next.previousFor(previousFor(1)))).toBeUndefined();
  });

  test("of an older attempt never replaces a newer one's, though its host knew where the key stood", async () => {
    const { keeper, session, stored, of, clock } = keeperScene();
    await session();
    const zombie = keeper("zombie");
    zombie.keep(of(1), said("a"));
    await clock.advance(100);
    await session({ attempt: 2 });
    const next = keeper("next");
    next.keep(of(2), said("a", "b"));
    await clock.advance(100);
    zombie.keep(of(1), said("a", "x"));
    await clock.advance(5000);
    expect(stored()).toMatchObject([{ attempt: 2, items: said("a", "b").items }]);
    next.keep(of(2), said("a", "b", "c"));
    await clock.advance(100);
    expect(stored()).toMatchObject([{ attempt: 2, items: said("a", "b", "c").items }]);
  });

  test("of a former attempt stays in front of one that began anew, and is not doubled by one that went on", async () => {
    const { keeper, session, stored, of, previousFor, clock, outcome } = keeperScene();
    await session();
    keeper("first").keep(of(1), said("a", "b"));
    await clock.advance(100);
    await session({ attempt: 2 });
    const anew = keeper("anew");
    anew.keep(of(2), said("c"));
    await clock.advance(100);
    anew.keep(of(2), said("c", "d"));
    await clock.advance(100);
    const ids = () => stored().map(({ attempt, items }) => [attempt, items.map(({ id }) => id).join("")]);
    expect(ids()).toEqual([[2, "abcd"]]);
    await session({ attempt: 3 });
    const on = keeper("on");
    expect((await outcome(on.previousFor(previousFor(3))))?.items).toHaveLength(4);
    on.keep(of(3), said("b", "c", "d", "e"));
    await clock.advance(100);
    expect(ids()).toEqual([[3, "bcde"]]);
  });

  test("is not begun by an attempt that the session has left behind", async () => {
    const { keeper, session, stored, of, clock } = keeperScene();
    await session({ attempt: 2 });
    keeper().keep(of(1), said("a"));
    await clock.advance(5000);
    expect(stored()).toEqual([]);
  });

  test("is not brought back after the end of its session", async () => {
    const { keeper, session, stored, of, bus, clock, outcome } = keeperScene();
    await session();
    const host = keeper();
    host.keep(of(), said("a"));
    await clock.advance(100);
    await session({ state: "ended", endedReason: "completed" });
    const entry = await outcome(bus.kv.get(conversations, sessionKey({ tenant: "t", sessionId: "s" })));
    await outcome(
      bus.kv.delete(conversations, sessionKey({ tenant: "t", sessionId: "s" }), entry?.revision ?? 0),
    );
    host.keep(of(), said("a", "b"));
    await clock.advance(5000);
    expect(stored()).toEqual([]);
  });

  test("of a host that keeps none is neither stored nor read", async () => {
    const { keeper, session, stored, of, previousFor, clock, outcome } = keeperScene();
    await session();
    const host = keeper("host", false);
    host.keep(of(), said("a"));
    await clock.advance(1000);
    expect(stored()).toEqual([]);
    keeper("other").keep(of(), said("a"));
    await clock.advance(1000);
    expect(stored()).toHaveLength(1);
    expect(await outcome(host.previousFor(previousFor(2)))).toBeUndefined();
  });
});

describe("a janitor removes what was said", () => {
  test("when the session ends, and not before", async () => {
    const { keeper, session, stored, of, connect, clock, outcome } = keeperScene();
    await session();
    const bus = connect("janitor");
    const view = await outcome(watchSessions(bus, clock));
    const stop = deleteConversations({ bus, clock, log: silentLog }, view);
    keeper().keep(of(), said("a"));
    await clock.advance(40_000);
    expect(stored()).toHaveLength(1);
    await session({ state: "ended", endedReason: "completed" });
    await clock.advance(1000);
    expect(stored()).toEqual([]);
    stop();
  });

  test("also when it was not there at the end, and when a host wrote once more behind it", async () => {
    const { keeper, session, stored, of, connect, bus: test, clock, outcome } = keeperScene();
    await session();
    keeper().keep(of(), said("a"));
    await clock.advance(100);
    await session({ state: "ended", endedReason: "completed" });
    const bus = connect("janitor");
    const view = await outcome(watchSessions(bus, clock));
    const stop = deleteConversations({ bus, clock, log: silentLog }, view);
    await clock.advance(1000);
    expect(stored()).toEqual([]);
    const late = { ...said("late"), tenant: "t", sessionId: "s", attempt: 1, checkpoint: 9 };
    await outcome(test.kv.update(conversations, late, 0));
    expect(stored()).toHaveLength(1);
    await clock.advance(31_000);
    expect(stored()).toEqual([]);
    stop();
  });
});
