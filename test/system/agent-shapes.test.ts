// Agent files in the shapes that LiveKit's own worker runs: those that wait for their user, have no AgentSession, or
// close it.
import { createSocket } from "node:dgram";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, reasonsOf, type Scene } from "../kit/stack/scene.ts";
import type { Json } from "../kit/stack/stack.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

/** Agents that connect with options which no standby room has. */
const OWN_OPTIONS = ["encrypted", "unsubscribed", "own-ice", "dynacast"];

let scene: Scene;
const visitors: Visitor[] = [];
const join = async (answer: { url: string; token: string }): Promise<Visitor> => {
  const visitor = await visit(answer);
  visitors.push(visitor);
  return visitor;
};

beforeAll(async () => {
  scene = await openScene({
    agents: ["waits", "no-session", ...OWN_OPTIONS, "two-sessions", "greets"],
    // Longer than a page of a busy machine needs to register.
    env: { GREENROOM_READY_AFTER_MS: "1000", GREENROOM_TRANSCRIPT_DELAY_MS: "5000" },
  });
  await scene.pool("waits", { idle: 2, hot: 1 });
  await scene.pool("no-session", { idle: 1 });
  for (const profile of OWN_OPTIONS) await scene.pool(profile, { idle: 2, hot: 1 });
  await scene.pool("greets", { idle: 2, hot: 1 });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

describe("an agent that waits for its user before it starts", () => {
  test("is ready for the user to join, and starts when the user has joined", async () => {
    const answer = await scene.start({ profile: "waits", userId: "ann" });
    expect(answer).toMatchObject({ attempt: 1, agentState: "awaiting_user", warm: "hot" });
    expect(await scene.session(answer.sessionId)).toMatchObject({ agentState: "awaiting_user" });
    await join(answer);
    await scene.logged(answer.sessionId, "the user is ann");
    const started = await scene.sessionWhen(
      answer.sessionId,
      ({ agentState }) => agentState === "started",
      "has a started agent",
    );
    expect(started).toMatchObject({ state: "ready", attempt: 1, failures: 0 });
  });

  test("is found by its agent name, and gets the text of its metadata", async () => {
    const { status, body, headers } = await scene.stack.post("/api/livekit/token", {
      room_config: { agents: [{ agent_name: "front-desk", metadata: "tenant-42" }] },
    });
    expect(status, JSON.stringify(body)).toBe(201);
    await join({ url: body.server_url, token: body.participant_token });
    const id = headers.get("greenroom-session-id") ?? "";
    expect(await scene.logged(id, "front-desk has")).toBe('front-desk has "tenant-42"');
  });

  test("ends its session when it closes its AgentSession, with the reason", async () => {
    const answer = await scene.start({ profile: "waits", metadata: { closes: true } });
    await join(answer);
    const session = await scene.ended(answer.sessionId);
    expect(session).toMatchObject({ endedReason: "completed", attempt: 1 });
    expect(reasonsOf(session)).toContain("the agent closed its AgentSession (user_initiated)");
  });
});

describe("a hot agent that connects with options of its own", () => {
  test("is encrypted as it asks, stays in its session, and the pool keeps no hot agents for it", async () => {
    const answer = await scene.start({ profile: "encrypted" });
    expect(answer).toMatchObject({ attempt: 1, warm: "hot" });
    expect(await scene.logged(answer.sessionId, "encryption is")).toBe("encryption is on");
    const visitor = await join(answer);
    await until(() => visitor.others().length === 1, { timeoutMs: PATIENCE_MS, what: "the agent is there" });
    await until(async () => (await scene.slotOf(answer.sessionId))?.slot.userJoined === true, {
      timeoutMs: PATIENCE_MS,
      what: "the host knows that the user is there",
    });
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    await scene.pool("encrypted", { idle: 2, hot: 0 });
    await scene.end(answer.sessionId);
    const warm = await scene.start({ profile: "encrypted" });
    expect(warm).toMatchObject({ attempt: 1, warm: "warm" });
    expect(await scene.logged(warm.sessionId, "encryption is")).toBe("encryption is on");
  });

  /** Joins and publishes a track. @returns what the agent has seen of it */
  async function publishTo(answer: Json): Promise<() => Promise<{ published: number; subscribed: number }>> {
    const visitor = await join(answer);
    const agent = await until(() => visitor.others()[0], {
      timeoutMs: PATIENCE_MS,
      what: "the agent is there",
    });
    await visitor.say({ text: "", sampleRate: 16_000, audio: new Int16Array() });
    const tracks = async () => JSON.parse(await visitor.call(agent.identity, "tracks", ""));
    await until(async () => (await tracks()).published === 1, {
      timeoutMs: PATIENCE_MS,
      what: "the agent sees the track",
    });
    return tracks;
  }

  async function isHeard(answer: Json): Promise<void> {
    const tracks = await publishTo(answer);
    await until(async () => (await tracks()).subscribed === 1, {
      timeoutMs: PATIENCE_MS,
      what: "the agent is subscribed to the track",
    });
  }

  test("is subscribed to no track, not even for a moment, if it asks for none", async () => {
    const answer = await scene.start({ profile: "unsubscribed" });
    expect(answer).toMatchObject({ attempt: 1, warm: "hot" });
    expect(await scene.job(answer.sessionId)).toMatchObject({ wasConnected: true });
    const tracks = await publishTo(answer);
    expect(await tracks()).toEqual({ published: 1, subscribed: 0 });
    await scene.pool("unsubscribed", { idle: 2, hot: 0 });
  });

  test("asks the ICE servers that its rtcConfig names, and hears its user", async () => {
    const asked = vi.fn();
    const server = createSocket("udp4", asked);
    await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
    try {
      const stun = `stun:127.0.0.1:${server.address().port}`;
      const answer = await scene.start({ profile: "own-ice", metadata: { stun } });
      expect(answer).toMatchObject({ attempt: 1, warm: "hot" });
      await isHeard(answer);
      await until(() => asked.mock.calls.length > 0, {
        timeoutMs: PATIENCE_MS,
        what: "the ICE server is asked",
      });
      await scene.pool("own-ice", { idle: 2, hot: 0 });
    } finally {
      server.close();
    }
  });

  test("has options that only the room's own connect takes", async () => {
    const answer = await scene.start({ profile: "dynacast" });
    expect(answer).toMatchObject({ attempt: 1, warm: "hot" });
    await isHeard(answer);
    await scene.pool("dynacast", { idle: 2, hot: 0 });
  });
});

describe("an agent with two AgentSessions", () => {
  test("serves when one follows the other", async () => {
    const answer = await scene.start({ profile: "two-sessions" });
    await scene.logged(answer.sessionId, "both sessions have started");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
  });

  test.each([{ parallel: true }, { record: true }])(
    "ends after one attempt when LiveKit refuses the second one (%j)",
    async (metadata) => {
      const { body } = await scene.ask({ profile: "two-sessions", metadata });
      const session = await scene.ended(body.sessionId ?? body.error.sessionId);
      expect(session).toMatchObject({ endedReason: "agent_error", attempt: 1 });
      expect(reasonsOf(session).at(-1)).toMatch(
        /^Error: (Only one|A byte stream handler).* LiveKit allows one/,
      );
    },
  );
});

describe("an agent that greets as soon as it has started", () => {
  const toRead = (transcripts: readonly { readonly text: string }[], text: string) =>
    until(() => transcripts.some((one) => one.text === text), {
      timeoutMs: PATIENCE_MS,
      what: () => `"${text}" is read; the transcripts are ${JSON.stringify(transcripts)}`,
    });

  test("is read by a page that shows the conversation some time after it has joined", async () => {
    const visitor = await join(await scene.start({ profile: "greets" }));
    await until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the user hears the agent" });
    // The page of LiveKit's React example registers after an animation.
    await new Promise((resolve) => setTimeout(resolve, 600));
    await toRead(visitor.reads(), "Good morning.");
    await scene.pool("greets", { idle: 2, hot: 1 });
  });

  test("answers a user who writes as soon as it is ready", async () => {
    const visitor = await join(await scene.start({ profile: "greets" }));
    const transcripts = visitor.reads();
    await visitor.write("hello");
    await toRead(transcripts, "You wrote hello.");
  });
});

describe("an agent without an AgentSession", () => {
  test("is ready when its entry has returned, and serves its user", async () => {
    const answer = await scene.start({ profile: "no-session" });
    expect(answer).toMatchObject({ attempt: 1, agentState: "started" });
    const visitor = await join(answer);
    const agent = await until(() => visitor.others()[0], {
      timeoutMs: PATIENCE_MS,
      what: "the agent is there",
    });
    expect(await visitor.call(agent.identity, "double", "21")).toBe("42");
  });

  test("is ready after a while when its entry runs on", async () => {
    const answer = await scene.start({ profile: "no-session", metadata: { runsOn: true } });
    expect(answer).toMatchObject({ attempt: 1, agentState: "started" });
  });
});
