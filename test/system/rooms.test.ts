// The room of a session: the ready message, users who join and leave, and the end.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { RoomEvent } from "../../libs/contracts/fleet/pool.ts";
import { roomEvents } from "../../libs/contracts/streams.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
const visitors: Visitor[] = [];
const join = async (answer: { url: string; token: string }): Promise<Visitor> => {
  const visitor = await visit(answer);
  visitors.push(visitor);
  return visitor;
};

beforeAll(async () => {
  scene = await openScene({
    agents: ["quick", "hot", "visited", "slow-prewarm", "troubled"],
    env: { GREENROOM_USER_JOIN_TIMEOUT_MS: "15000" },
  });
  await scene.pool("visited", { idle: 2 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

/** The agents in a visitor's room, with their attributes. */
const agentsSeenBy = (visitor: Visitor) =>
  visitor.others().filter(({ identity }) => identity.startsWith("agent-"));

/** An AgentSession without a subscriber takes long to close. */
const heard = (visitor: Visitor) =>
  until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent's track" });

describe("a session's room", () => {
  test.each(["visited", "hot"])(
    "shows a user that a ready %s agent is ready, by an attribute and a message",
    async (profile) => {
      const answer = await scene.start({ profile });
      const visitor = await join(answer);
      const message = await until(() => visitor.said.find(({ topic }) => topic === "greenroom"), {
        timeoutMs: PATIENCE_MS,
        what: "the visitor receives the ready message",
      });
      expect(message.message).toEqual({ type: "ready", sessionId: answer.sessionId, attempt: 1 });
      await until(() => agentsSeenBy(visitor)[0]?.attributes["greenroom.ready"] === "1", {
        timeoutMs: PATIENCE_MS,
        what: () => `the agent has the attribute; present: ${JSON.stringify(visitor.others())}`,
      });
      expect(agentsSeenBy(visitor)).toHaveLength(1);
      expect(message.from).toBe(agentsSeenBy(visitor)[0]?.identity);
      await heard(visitor);
    },
  );

  test("sends a waiting user the ready message once the agent is ready, and not before", async () => {
    const room = "waiting for an agent";
    const token = await scene.stack.post("/api/livekit/token", {
      room_name: room,
      participant_identity: "early-bird",
      room_config: { agents: [{ agent_name: "slow-prewarm" }] },
    });
    expect(token.status, JSON.stringify(token.body)).toBe(201);
    const visitor = await join({ url: token.body.server_url, token: token.body.participant_token });
    const sessionId = token.headers.get("greenroom-session-id") ?? "";
    expect(visitor.said).toEqual([]);
    await until(() => visitor.said.some(({ topic }) => topic === "greenroom"), {
      timeoutMs: PATIENCE_MS,
      what: "the visitor receives the ready message",
    });
    expect(visitor.said[0]?.message).toMatchObject({ type: "ready", sessionId });
    // The message in the room may arrive before the dispatcher has stored the state.
    const session = await scene.sessionWhen(sessionId, ({ state }) => state === "ready", "is ready");
    expect(session).toMatchObject({ room });
    await heard(visitor);
  });

  test("doesn't make a session ready by the presence of its agent", async () => {
    const { body } = await scene.ask({ profile: "troubled", wait: 0, metadata: { fault: "never ready" } });
    await scene.sessionWhen(body.sessionId, ({ state }) => state === "joined", "is joined");
    const room = `session-${body.sessionId}`;
    await until(async () => (await scene.rooms.participants(room)).some(({ isAgent }) => isAgent), {
      timeoutMs: PATIENCE_MS,
      what: "LiveKit shows the agent in the room",
    });
    expect(await scene.session(body.sessionId)).toMatchObject({ status: "starting", state: "joined" });
    expect((await scene.end(body.sessionId)).endedReason).toBe("cancelled");
  });

  test("shows the user to entry, and ends the session after the user leaves", async () => {
    const answer = await scene.start({ profile: "visited", userId: "ada", userName: "Ada L." });
    const visitor = await join(answer);
    await scene.logged(answer.sessionId, "ada (Ada L.) came");
    await visitor.leave();
    const session = await scene.ended(answer.sessionId);
    expect(session).toMatchObject({ endedReason: "completed", fault: "none" });
    expect(session.history.at(-1).reason).toBe("user left");
  });

  test("keeps the agent while one of two users stays", async () => {
    const answer = await scene.start({ profile: "quick", room: "come and go" });
    const first = await join(answer);
    const second = await join(
      (await scene.stack.post("/api/token", { sessionId: answer.sessionId, userName: "Bea" })).body,
    );
    await until(() => second.others().length === 2, {
      timeoutMs: PATIENCE_MS,
      what: "both users are present",
    });
    await first.leave();
    await until(() => second.others().length === 1, {
      timeoutMs: PATIENCE_MS,
      what: "the first user has left",
    });
    // One user is still present. A bug that overlooks this user ends the session after half a second.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    await second.leave();
    expect((await scene.ended(answer.sessionId)).endedReason).toBe("completed");
  });

  test("expires a session whose user never joins", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    const session = await scene.ended(sessionId);
    expect(session).toMatchObject({ endedReason: "expired", fault: "customer" });
    expect(session.history.at(-1).reason).toMatch(
      /the user did not come within \d+\.\d s \(limit 15000 ms\)/,
    );
  });

  test("leaves its people in the room when the agent shuts down, also in the janitor's sweeps", async () => {
    const answer = await scene.start({
      profile: "troubled",
      metadata: { fault: "shut down among two" },
    });
    const caller = await join(answer);
    const { body } = await scene.stack.post("/api/token", { sessionId: answer.sessionId, userName: "Bea" });
    const colleague = await join(body);
    await scene.ended(answer.sessionId);
    await until(() => caller.others().length === 1, {
      timeoutMs: PATIENCE_MS,
      what: () => `only the colleague is left; present: ${JSON.stringify(caller.others())}`,
    });
    // Several sweeps of the janitor.
    await new Promise((resolve) => setTimeout(resolve, 3500));
    expect([caller.isOut(), colleague.isOut()]).toEqual([false, false]);
    await caller.leave();
    await colleague.leave();
    // expectNothingLeft waits until the janitor has deleted the empty room.
  });

  test("leaves people alone who meet in a named room after its session", async () => {
    const room = "team lobby";
    const answer = await scene.start({ profile: "quick", room });
    const first = await join(answer);
    await scene.end(answer.sessionId);
    await until(() => first.others().length === 0, { timeoutMs: PATIENCE_MS, what: "the agent has left" });
    const second = await join(await scene.tokenFor({ room, identity: "ben" }));
    await new Promise((resolve) => setTimeout(resolve, 3500));
    expect([first.isOut(), second.isOut()]).toEqual([false, false]);
    expect((await scene.session(answer.sessionId)).state).toBe("ended");
    await first.leave();
    await second.leave();
    await scene.rooms.delete(room);
  });

  test("deletes the room, removes everybody, runs callbacks and report, and replaces the slot when the API asks for it", async () => {
    const answer = await scene.start({ profile: "visited" });
    const visitor = await join(answer);
    await scene.logged(answer.sessionId, "came");
    const used = (await scene.slotOf(answer.sessionId))?.slot.id;
    const end = () => scene.stack.post(`/api/session/${answer.sessionId}/end`, { deleteRoom: true });
    // The API waits for the end, but not for long.
    const ended = await until(
      async () => {
        const { body } = await end();
        return body.status === "ended" ? body : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: "the session has ended" },
    );
    expect(ended).toMatchObject({ success: true, status: "ended", endedReason: "completed" });
    await until(() => visitor.isOut(), { timeoutMs: PATIENCE_MS, what: "the visitor is removed" });
    await until(async () => !(await scene.rooms.list()).some(({ name }) => name === answer.room), {
      timeoutMs: PATIENCE_MS,
      what: "LiveKit has deleted the room",
    });
    await scene.logged(answer.sessionId, "the shutdown callback ran");
    await scene.logged(answer.sessionId, `the report of ${answer.sessionId}-1 in ${answer.room}`);
    await scene.pool("visited", { idle: 2 });
    const slots = async (): Promise<string[]> =>
      (await scene.hosts()).flatMap(({ processes }) =>
        processes.flatMap((one: { slots: { id: string }[] }) => one.slots.map(({ id }) => id)),
      );
    expect(used).toBeDefined();
    await until(async () => !(await slots()).includes(used), {
      timeoutMs: PATIENCE_MS,
      what: "the slot of the session is gone",
    });
    const again = await scene.stack.post(`/api/session/${answer.sessionId}/end`);
    expect(again).toMatchObject({ status: 200, body: { status: "ended", endedReason: "completed" } });
  });

  test("ends when the agent shuts down", async () => {
    const { sessionId } = await scene.start({ profile: "troubled", metadata: { fault: "shut down" } });
    const session = await scene.ended(sessionId);
    expect(session).toMatchObject({ endedReason: "completed", fault: "none", attempt: 1 });
    expect(session.history.at(-1).reason).toBe("everything was said");
    await scene.logged(sessionId, "the shutdown callback ran");
  });

  test("ends when LiveKit deletes the room, and LiveKit's webhooks are published", async () => {
    const events: RoomEvent[] = [];
    const stopListening = await scene.bus.core.subscribe(roomEvents, (event) => events.push(event));
    const answer = await scene.start({ profile: "quick" });
    const { sessionId, room } = answer;
    // Without a user, the session would expire while a busy machine connects the agent's media.
    await join(answer);
    const arrives = (event: string) =>
      until(() => events.some((one) => one.event === event && one.room === room), {
        timeoutMs: PATIENCE_MS,
        what: () => `LiveKit's ${event} arrives; received: ${JSON.stringify(events)}`,
      });
    await arrives("room_started");
    // An agent may be ready before its media connection, at which LiveKit sends this event.
    await arrives("participant_joined");
    await scene.rooms.delete(room);
    await arrives("room_finished");
    await stopListening();
    const session = await scene.ended(sessionId);
    expect(session.endedReason).toBe("completed");
    expect(lifeOf(session).at(-1)).toBe("ended 1");
  });
});

describe("a token of LiveKit's endpoint", () => {
  const tokenOf = async (body: object) => {
    const answer = await scene.stack.post("/api/livekit/token", body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    const { server_url: url, participant_token: token } = answer.body;
    return { url, token, sessionId: answer.headers.get("greenroom-session-id") ?? "" };
  };
  const named = { room_config: { agents: [{ agent_name: "visited" }] } };
  const isGreeted = (visitor: Visitor) =>
    until(() => visitor.said.some(({ topic }) => topic === "greenroom"), {
      timeoutMs: PATIENCE_MS,
      what: "the visitor receives the ready message",
    });

  test("takes no agent and leaves no session while nobody joins with it", async () => {
    const ids = async (): Promise<string[]> =>
      (await scene.stack.get("/api/sessions?limit=200")).body.sessions.map(
        ({ sessionId }: { sessionId: string }) => sessionId,
      );
    const before = await ids();
    await Promise.all(Array.from({ length: 60 }, () => tokenOf(named)));
    await scene.pool("visited", { idle: 2 });
    expect(await ids()).toEqual(before);
  });

  test("starts its session when its user joins, and another one when the user comes back after its end", async () => {
    const first = await tokenOf({ ...named, participant_identity: "ada" });
    const visitor = await join(first);
    await isGreeted(visitor);
    expect(await scene.session(first.sessionId)).toMatchObject({ userId: "ada", profile: "visited" });
    await scene.logged(first.sessionId, "ada");
    await visitor.leave();
    expect(await scene.ended(first.sessionId)).toMatchObject({ endedReason: "completed" });
    const again = await join(first);
    await isGreeted(again);
    const ready = async () =>
      (await scene.stack.get("/api/sessions?profile=visited&state=ready")).body.sessions;
    // The agent's message can arrive before the record is ready.
    await until(async () => (await ready()).length > 0, {
      timeoutMs: PATIENCE_MS,
      what: "a session is ready",
    });
    const sessions = await ready();
    expect(sessions).toMatchObject([{ userId: "ada" }]);
    expect(sessions[0].sessionId).not.toBe(first.sessionId);
  });

  test("gives the place of a tab to a second one with the same token, in the same session", async () => {
    const one = await tokenOf({ ...named, participant_identity: "cleo" });
    const first = await join(one);
    await isGreeted(first);
    await scene.logged(one.sessionId, "cleo");
    const second = await join(one);
    await until(() => first.isOut(), { timeoutMs: PATIENCE_MS, what: "the first tab is disconnected" });
    await until(() => agentsSeenBy(second).length === 1, {
      timeoutMs: PATIENCE_MS,
      what: () => `one agent is in the room; present: ${JSON.stringify(second.others())}`,
    });
    expect(second.isOut()).toBe(false);
    expect(await scene.session(one.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    await second.leave();
    expect(await scene.ended(one.sessionId)).toMatchObject({ endedReason: "completed", attempt: 1 });
  });

  test("gives a user who reloads the page at once an agent", async () => {
    const one = await tokenOf({ ...named, participant_identity: "bea" });
    const visitor = await join(one);
    await isGreeted(visitor);
    await scene.logged(one.sessionId, "bea");
    await visitor.leave();
    const again = await join(one);
    await isGreeted(again);
    await until(() => agentsSeenBy(again).length === 1 && !again.isOut(), {
      timeoutMs: PATIENCE_MS,
      what: () => `one agent is in the room; present: ${JSON.stringify(again.others())}`,
    });
  });
});

describe("session log", () => {
  test("contains the console and LiveKit logger lines of its own agent only", async () => {
    const one = await scene.start({ profile: "quick", metadata: { who: "one" } });
    const two = await scene.start({ profile: "quick", metadata: { who: "two" } });
    for (const [session, who, other] of [
      [one, "one", "two"],
      [two, "two", "one"],
    ] as const) {
      await scene.logged(session.sessionId, "the session is open");
      const lines = await scene.logs(session.sessionId);
      expect(lines).toContainEqual(
        expect.objectContaining({ level: "warn", message: "the session is open", attempt: 1 }),
      );
      expect(lines).toContainEqual(
        expect.objectContaining({ level: "info", message: expect.stringContaining(`"who":"${who}"`) }),
      );
      expect(JSON.stringify(lines)).not.toContain(`"who\\":\\"${other}`);
    }
  });
});

describe("agent process", () => {
  test("runs LiveKit's native library without its log capture", async () => {
    const { sessionId } = await scene.start({ profile: "quick" });
    await scene.logged(sessionId, "the session is open");
    const text = scene.stack.child("agent-host-1").text();
    expect(text).toContain("registered");
    expect(text).not.toContain("native log capture");
  });
});
