// What happens in a session's room: who is told of ready, who comes and leaves, and what the end leaves.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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
    env: { GREENROOM_USER_JOIN_TIMEOUT_MS: "8000" },
  });
  await scene.pool("visited", { idle: 2 });
  await scene.pool("hot", { idle: 2, hot: 2 });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

/** The agents that a visitor sees, with their attributes. */
const agentsSeenBy = (visitor: Visitor) =>
  visitor.others().filter(({ identity }) => identity.startsWith("agent-"));

/** An AgentSession that isn't listened to yet takes long to close. */
const heard = (visitor: Visitor) =>
  until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent's track" });

test.each(["visited", "hot"])(
  "a person who comes to a ready %s agent finds its attribute and is told by a message",
  async (profile) => {
    const answer = await scene.start({ profile });
    const visitor = await join(answer);
    const message = await until(() => visitor.said.find(({ topic }) => topic === "greenroom"), {
      timeoutMs: PATIENCE_MS,
      what: "the visitor is told",
    });
    expect(message.message).toEqual({ type: "ready", sessionId: answer.sessionId, attempt: 1 });
    await until(() => agentsSeenBy(visitor)[0]?.attributes["greenroom.ready"] === "1", {
      timeoutMs: PATIENCE_MS,
      what: () => `the agent has the attribute; there is ${JSON.stringify(visitor.others())}`,
    });
    expect(agentsSeenBy(visitor)).toHaveLength(1);
    expect(message.from).toBe(agentsSeenBy(visitor)[0]?.identity);
    await heard(visitor);
  },
);

test("a person who waits in the room is told when the agent becomes ready, and not before", async () => {
  const room = "waiting for an agent";
  const token = await scene.stack.post("/api/livekit/token", {
    room_name: room,
    participant_identity: "early-bird",
    room_config: { agents: [{ agent_name: "slow-prewarm" }] },
  });
  expect(token.status, JSON.stringify(token.body)).toBe(201);
  const visitor = await join({ url: token.body.server_url, token: token.body.participant_token });
  const [listed] = (await scene.stack.get("/api/sessions?profile=slow-prewarm&state=starting")).body.sessions;
  expect(visitor.said).toEqual([]);
  await until(() => visitor.said.some(({ topic }) => topic === "greenroom"), {
    timeoutMs: PATIENCE_MS,
    what: "the visitor is told",
  });
  expect(visitor.said[0]?.message).toMatchObject({ type: "ready", sessionId: listed.sessionId });
  // What is said in the room may arrive before the dispatcher has stored it.
  const session = await scene.sessionWhen(listed.sessionId, ({ state }) => state === "ready", "is ready");
  expect(session).toMatchObject({ room });
  await heard(visitor);
});

test("an agent that is present is not ready for that", async () => {
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

test("entry sees its user, and the session ends after the user left", async () => {
  const answer = await scene.start({ profile: "visited", userId: "ada", userName: "Ada L." });
  const visitor = await join(answer);
  await scene.logged(answer.sessionId, "ada (Ada L.) came");
  await visitor.leave();
  const session = await scene.ended(answer.sessionId);
  expect(session).toMatchObject({ endedReason: "completed", fault: "none" });
  expect(session.history.at(-1).reason).toBe("user left");
});

test("a user who comes back in time finds the same agent", async () => {
  const answer = await scene.start({ profile: "quick", room: "come and go" });
  const first = await join(answer);
  const second = await join(
    (await scene.stack.post("/api/token", { sessionId: answer.sessionId, userName: "Bea" })).body,
  );
  await until(() => second.others().length === 2, { timeoutMs: PATIENCE_MS, what: "both are there" });
  await first.leave();
  await until(() => second.others().length === 1, { timeoutMs: PATIENCE_MS, what: "the first has left" });
  // One person is still there: were that overlooked, the session would end after half a second.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
  await second.leave();
  expect((await scene.ended(answer.sessionId)).endedReason).toBe("completed");
});

test("a session whose user never comes expires", async () => {
  const { sessionId } = await scene.start({ profile: "quick" });
  const session = await scene.ended(sessionId);
  expect(session).toMatchObject({ endedReason: "expired", fault: "customer" });
  expect(session.history.at(-1).reason).toMatch(/the user did not come within \d+\.\d s \(limit 8000 ms\)/);
});

test("the end by API deletes the room, puts everybody out, runs callbacks and report, and renews the slot", async () => {
  const answer = await scene.start({ profile: "visited" });
  const visitor = await join(answer);
  await scene.logged(answer.sessionId, "came");
  const used = (await scene.slotOf(answer.sessionId))?.slot.id;
  const ended = await scene.stack.post(`/api/session/${answer.sessionId}/end`);
  expect(ended.body).toMatchObject({ success: true, status: "ended", endedReason: "completed" });
  await until(() => visitor.isOut(), { timeoutMs: PATIENCE_MS, what: "the visitor is out" });
  await until(async () => !(await scene.rooms.list()).some(({ name }) => name === answer.room), {
    timeoutMs: PATIENCE_MS,
    what: "LiveKit has the room no more",
  });
  await scene.logged(answer.sessionId, "the shutdown callback ran");
  await scene.logged(answer.sessionId, `the report of ${answer.sessionId}-1 in ${answer.room}`);
  await scene.pool("visited", { idle: 2 });
  const slots = (await scene.hosts()).flatMap(({ processes: stages }) =>
    stages.flatMap((stage: { slots: { id: string }[] }) => stage.slots.map(({ id }) => id)),
  );
  expect(slots).not.toContain(used);
  const again = await scene.stack.post(`/api/session/${answer.sessionId}/end`);
  expect(again).toMatchObject({ status: 200, body: { status: "ended", endedReason: "completed" } });
});

test("an agent that shuts down by itself ends its session", async () => {
  const { sessionId } = await scene.start({ profile: "troubled", metadata: { fault: "shut down" } });
  const session = await scene.ended(sessionId);
  expect(session).toMatchObject({ endedReason: "completed", fault: "none", attempt: 1 });
  expect(session.history.at(-1).reason).toBe("everything was said");
  await scene.logged(sessionId, "the shutdown callback ran");
});

test("a room that somebody else deletes ends its session, and LiveKit's webhook is passed on", async () => {
  const hints: RoomEvent[] = [];
  const stopListening = await scene.bus.core.subscribe(roomEvents, (hint) => hints.push(hint));
  const { sessionId, room } = await scene.start({ profile: "quick" });
  await scene.rooms.delete(room);
  for (const event of ["room_started", "participant_joined", "room_finished"]) {
    await until(() => hints.some((hint) => hint.event === event && hint.room === room), {
      timeoutMs: PATIENCE_MS,
      what: () => `LiveKit's ${event} arrives; there came ${JSON.stringify(hints)}`,
    });
  }
  await stopListening();
  const session = await scene.ended(sessionId);
  expect(session.endedReason).toBe("completed");
  expect(lifeOf(session).at(-1)).toBe("ended 1");
});

test("what an agent says by console and by LiveKit's logger reaches its own session's log only", async () => {
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

test("stages run LiveKit's native library without its log capture", async () => {
  const { sessionId } = await scene.start({ profile: "quick" });
  await scene.logged(sessionId, "the session is open");
  const text = scene.stack.child("agent-host-1").text();
  expect(text).toContain("registered");
  expect(text).not.toContain("native log capture is on");
});
