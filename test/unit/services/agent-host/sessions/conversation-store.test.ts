// Conversations that a host stores: the newest, never over a newer attempt's, never after the session's end.
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

const messages = (...texts: string[]) => ({
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

function storeScene() {
  const scene = world();
  const bus = scene.connect("test");
  const openStore = (name = "host", enabled = true) =>
    new ConversationStore({ bus: scene.connect(name), clock: scene.clock, log: silentLog, enabled });
  /** Saves the session's record like the dispatcher. */
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
  return { ...scene, bus, openStore, session, stored, of, previousFor };
}

describe("ConversationStore", () => {
  test("stores the newest conversation, not every step of a burst", async () => {
    const { openStore, session, stored, of, clock } = storeScene();
    await session();
    const host = openStore();
    for (const count of [1, 2, 3, 4, 5]) host.keep(of(), messages(..."abcde".slice(0, count)));
    await clock.advance(100);
    expect(stored()).toMatchObject([{ attempt: 1, checkpoint: 2, items: messages(..."abcde").items }]);
  });

  test("returns a conversation only to a recovering session, and only of an earlier attempt", async () => {
    const { openStore, session, of, previousFor, clock, outcome } = storeScene();
    await session();
    const host = openStore();
    host.keep(of(), messages("a"));
    await clock.advance(100);
    const next = openStore("other");
    expect(await outcome(next.previousFor(previousFor(2)))).toEqual({ attempt: 1, ...messages("a") });
    expect(await outcome(next.previousFor(previousFor(2, false)))).toBeUndefined();
    expect(await outcome(next.previousFor(previousFor(1)))).toBeUndefined();
  });

  test("never replaces the conversation of a newer attempt, even if it knew the revision", async () => {
    const { openStore, session, stored, of, clock } = storeScene();
    await session();
    const zombie = openStore("zombie");
    zombie.keep(of(1), messages("a"));
    await clock.advance(100);
    await session({ attempt: 2 });
    const next = openStore("next");
    next.keep(of(2), messages("a", "b"));
    await clock.advance(100);
    zombie.keep(of(1), messages("a", "x"));
    await clock.advance(5000);
    expect(stored()).toMatchObject([{ attempt: 2, items: messages("a", "b").items }]);
    next.keep(of(2), messages("a", "b", "c"));
    await clock.advance(100);
    expect(stored()).toMatchObject([{ attempt: 2, items: messages("a", "b", "c").items }]);
  });

  test("puts the conversation of an earlier attempt before a restarted one, but not before a continued one", async () => {
    const { openStore, session, stored, of, previousFor, clock, outcome } = storeScene();
    await session();
    openStore("first").keep(of(1), messages("a", "b"));
    await clock.advance(100);
    await session({ attempt: 2 });
    const restarted = openStore("anew");
    restarted.keep(of(2), messages("c"));
    await clock.advance(100);
    restarted.keep(of(2), messages("c", "d"));
    await clock.advance(100);
    const ids = () => stored().map(({ attempt, items }) => [attempt, items.map(({ id }) => id).join("")]);
    expect(ids()).toEqual([[2, "abcd"]]);
    await session({ attempt: 3 });
    const continued = openStore("on");
    expect((await outcome(continued.previousFor(previousFor(3))))?.items).toHaveLength(4);
    continued.keep(of(3), messages("b", "c", "d", "e"));
    await clock.advance(100);
    expect(ids()).toEqual([[3, "bcde"]]);
  });

  test("stores nothing of an attempt that the session has left behind", async () => {
    const { openStore, session, stored, of, clock } = storeScene();
    await session({ attempt: 2 });
    openStore().keep(of(1), messages("a"));
    await clock.advance(5000);
    expect(stored()).toEqual([]);
  });

  test("does not store a conversation again after the session's end", async () => {
    const { openStore, session, stored, of, bus, clock, outcome } = storeScene();
    await session();
    const host = openStore();
    host.keep(of(), messages("a"));
    await clock.advance(100);
    await session({ state: "ended", endedReason: "completed" });
    const entry = await outcome(bus.kv.get(conversations, sessionKey({ tenant: "t", sessionId: "s" })));
    await outcome(
      bus.kv.delete(conversations, sessionKey({ tenant: "t", sessionId: "s" }), entry?.revision ?? 0),
    );
    host.keep(of(), messages("a", "b"));
    await clock.advance(5000);
    expect(stored()).toEqual([]);
  });

  test("does nothing when disabled", async () => {
    const { openStore, session, stored, of, previousFor, clock, outcome } = storeScene();
    await session();
    const host = openStore("host", false);
    host.keep(of(), messages("a"));
    await clock.advance(1000);
    expect(stored()).toEqual([]);
    openStore("other").keep(of(), messages("a"));
    await clock.advance(1000);
    expect(stored()).toHaveLength(1);
    expect(await outcome(host.previousFor(previousFor(2)))).toBeUndefined();
  });
});

describe("deleteConversations", () => {
  test("deletes a conversation when its session ends, and not before", async () => {
    const { openStore, session, stored, of, connect, clock, outcome } = storeScene();
    await session();
    const bus = connect("janitor");
    const view = await outcome(watchSessions(bus, clock));
    const stop = deleteConversations({ bus, clock, log: silentLog }, view);
    openStore().keep(of(), messages("a"));
    await clock.advance(40_000);
    expect(stored()).toHaveLength(1);
    await session({ state: "ended", endedReason: "completed" });
    await clock.advance(1000);
    expect(stored()).toEqual([]);
    stop();
  });

  test("deletes one that was written before the janitor started, or after the end", async () => {
    const { openStore, session, stored, of, connect, bus: test, clock, outcome } = storeScene();
    await session();
    openStore().keep(of(), messages("a"));
    await clock.advance(100);
    await session({ state: "ended", endedReason: "completed" });
    const bus = connect("janitor");
    const view = await outcome(watchSessions(bus, clock));
    const stop = deleteConversations({ bus, clock, log: silentLog }, view);
    await clock.advance(1000);
    expect(stored()).toEqual([]);
    const late = { ...messages("late"), tenant: "t", sessionId: "s", attempt: 1, checkpoint: 9 };
    await outcome(test.kv.update(conversations, late, 0));
    expect(stored()).toHaveLength(1);
    await clock.advance(31_000);
    expect(stored()).toEqual([]);
    stop();
  });
});
