// Handoffs that the example agent runner serves, through real NATS and in real LiveKit rooms.
import { randomBytes, randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import { connect } from "nats";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../cli/servers/ports.ts";
import type { HandoffEvent } from "../../libs/contracts/claims/claim.ts";
import { DEFAULT_TENANT } from "../../libs/contracts/ids.ts";
import { handoffEvents, handoffRequests } from "../../libs/contracts/streams.ts";
import { everythingStored } from "../kit/checks/everything-stored.ts";
import { signServiceJwt } from "../kit/fixtures/service-jwt.ts";
import { AgentRunner } from "../kit/stack/agent-runner.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import type { Json } from "../kit/stack/stack.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const LAUNCHER_SECRET = `whsec_${randomBytes(32).toString("base64")}`;
const JWT_SECRET = randomBytes(48).toString("base64");
const CLAIMS = 100;

let scene: Scene;
let runnerPort: number;
/** Another agent runner, which only records its requests. */
let recordingRunner: Server;
const launches: Json[] = [];
const runners: AgentRunner[] = [];
const visitors: Visitor[] = [];
/** Secrets that must not appear in any stream, bucket or log. */
const secrets: string[] = [LAUNCHER_SECRET, JWT_SECRET];

beforeAll(async () => {
  runnerPort = await freePort();
  const recordingPort = await freePort();
  recordingRunner = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    launches.push(JSON.parse(body));
    response.writeHead(202).end();
  });
  await new Promise<void>((resolve) => recordingRunner.listen(recordingPort, "127.0.0.1", resolve));
  scene = await openScene({
    agents: [],
    hosts: 0,
    gateways: 2,
    providers: 2,
    handoffs: 2,
    env: {
      LAUNCHER_ENABLED: "true",
      AGENT_LAUNCHER_URL: `http://127.0.0.1:${runnerPort}`,
      AGENT_LAUNCHER_SECRET: LAUNCHER_SECRET,
      CONTROL_PLANE_JWT_SECRET: JWT_SECRET,
      GREENROOM_PROVIDERS: `raced=webhook:http://127.0.0.1:${recordingPort}`,
      GREENROOM_CLAIM_REPLAY_WINDOW_MS: "1000",
      GREENROOM_PROVIDER_POLL_MS: "500",
      GREENROOM_LOG_LEVEL: "debug",
    },
  });
  await startRunner();
});

afterEach(async () => {
  for (const visitor of visitors.splice(0)) await visitor.leave().catch(() => {});
});

afterAll(async () => {
  for (const runner of runners) if (!runner.hasEnded) await runner.kill9();
  recordingRunner?.closeAllConnections();
  recordingRunner?.close();
  await scene?.stop();
});

async function startRunner(): Promise<AgentRunner> {
  const runner = await AgentRunner.start({
    port: runnerPort,
    apiUrl: scene.stack.url,
    launcherSecret: LAUNCHER_SECRET,
    jwtSecret: JWT_SECRET,
  });
  runners.push(runner);
  return runner;
}

/** Hands off a room like another system, with every optional field. */
async function handOff(changed: Record<string, unknown> = {}): Promise<{ trace: string; room: string }> {
  const trace = `trace-${randomUUID()}`;
  const room = `call-${randomUUID()}`;
  await scene.bus.streams.publish(handoffRequests, {
    version: 1,
    trace_id: trace,
    tenant_id: DEFAULT_TENANT,
    agent_id: "my-agent",
    room,
    call_id: "CA-1",
    metadata: { language: "en" },
    ...changed,
  });
  return { trace, room };
}

/** The handoff events of a trace, oldest first. */
async function eventsOf(trace: string): Promise<HandoffEvent[]> {
  const stored = await scene.bus.streams.read(handoffEvents, { limit: 1000, order: "newest-first" });
  return stored
    .map(({ message }) => message)
    .filter((message) => message.trace_id === trace)
    .reverse();
}

const wordsOf = (events: readonly HandoffEvent[]): string[] =>
  events.map((event) => `${event.type}${"attempt" in event ? ` ${event.attempt}` : ""}`);

async function eventWhen(trace: string, word: string): Promise<Json> {
  let seen: HandoffEvent[] = [];
  return await until(
    async () => {
      seen = await eventsOf(trace);
      return seen.find((_, index) => wordsOf(seen)[index] === word);
    },
    { timeoutMs: PATIENCE_MS, everyMs: 100, what: () => `${word} is published; events: ${wordsOf(seen)}` },
  );
}

/** Joins a session's room as a user, and waits until the agent answers. */
async function talk(sessionId: string): Promise<Visitor> {
  const { body } = await scene.stack.post("/api/token", { sessionId, userName: "Alice" });
  secrets.push(body.token);
  const visitor = await visit(body);
  visitors.push(visitor);
  await isAnswered(visitor, "hello");
  await until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the agent is heard" });
  return visitor;
}

const isAnswered = async (visitor: Visitor, text: string): Promise<void> => {
  await until(
    async () => {
      if (visitor.said.some(({ topic, message }) => topic === "echo" && message.echo === text)) return true;
      await visitor.write(text); // Text sent while no agent listens is lost, so it is repeated.
      return false;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 500,
      what: () => `${text} is answered: ${JSON.stringify(visitor.said)}`,
    },
  );
};

describe("a handoff", () => {
  test("is served by the runner from its request to its end, and publishes each step once", async () => {
    const { trace, room } = await handOff();
    const ready = await eventWhen(trace, "agent_session_launch_succeeded 1");
    const sessionId: string = ready.session_id;
    // The event may be published before the gateway has seen the record.
    expect(await scene.sessionWhen(sessionId, ({ state }) => state === "ready", "is ready")).toMatchObject({
      profile: "my-agent",
      host: "provider-webhook",
      room,
      attempt: 1,
    });
    const visitor = await talk(sessionId);
    await visitor.leave();
    const ended = await scene.ended(sessionId);
    expect(ended).toMatchObject({ endedReason: "completed", failures: 0 });
    expect(lifeOf(ended)).toEqual(["requested 1", "dispatched 1", "joined 1", "ready 1", "ended 1"]);
    await until(async () => !(await scene.rooms.list()).some(({ name }) => name === room), {
      timeoutMs: PATIENCE_MS,
      what: "its room is gone",
    });
    // Several services publish these events.
    let events: HandoffEvent[] = [];
    await until(
      async () => {
        events = await eventsOf(trace);
        return events.length >= 4;
      },
      { timeoutMs: PATIENCE_MS, what: () => `four events are published; events: ${wordsOf(events)}` },
    );
    expect(wordsOf(events).sort()).toEqual([
      "agent_session_bootstrap_ready 1",
      "agent_session_launch_succeeded 1",
      "dispatch_claimed 1",
      "handoff_dispatched 1",
    ]);
    for (const event of events) {
      expect(event).toMatchObject({
        tenant_id: DEFAULT_TENANT,
        session_id: sessionId,
        dispatch_id: `${sessionId}-1`,
        dispatch_expires_at: expect.stringMatching(/^20/),
      });
    }
  });

  test("continues in the same room with another runner after its runner dies", async () => {
    const { trace, room } = await handOff();
    const { session_id: sessionId } = await eventWhen(trace, "agent_session_launch_succeeded 1");
    const visitor = await talk(sessionId);
    await runners.at(-1)?.kill9();
    await startRunner();
    await eventWhen(trace, "agent_session_launch_succeeded 2");
    const again = await scene.sessionWhen(
      sessionId,
      ({ state, attempt }) => state === "ready" && attempt === 2,
      "is ready again",
    );
    expect(again).toMatchObject({ room });
    await isAnswered(visitor, "are you there?");
    // The killed agent is removed from the room.
    await until(
      async () => {
        const agents = (await scene.rooms.participants(room)).filter(({ isAgent }) => isAgent);
        return agents.length === 1 && agents[0]?.identity === `agent-${sessionId}-2`;
      },
      { timeoutMs: PATIENCE_MS, what: "only the second agent is in the room" },
    );
    expect((await scene.end(sessionId)).endedReason).toBe("completed");
  });
});

describe("a claim", () => {
  test("succeeds once when a hundred race over two gateways", async () => {
    const { trace } = await handOff({ agent_id: "raced" });
    const { dispatch_id: id, session_id: sessionId } = await eventWhen(trace, "handoff_dispatched 1");
    await until(() => launches.some((launch) => launch.dispatch_id === id), {
      timeoutMs: PATIENCE_MS,
      what: "the runner receives the launch",
    });
    expect(launches.find((launch) => launch.dispatch_id === id)).toMatchObject({ agent_id: "raced" });
    const bearer = await signServiceJwt(JWT_SECRET, { tenant: DEFAULT_TENANT, subject: "racer" });
    secrets.push(bearer);
    const claim = async (nonce: string, url: string) => {
      const response = await fetch(`${url}/api/claims/${id}/claim`, {
        method: "POST",
        headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
        body: JSON.stringify({ nonce }),
      });
      return { status: response.status, body: (await response.json()) as Json, nonce };
    };
    const nonces = Array.from({ length: CLAIMS }, () => randomBytes(16).toString("hex"));
    secrets.push(...nonces);
    const replies = await Promise.all(
      nonces.map((nonce, index) => claim(nonce, scene.stack.urls[index % 2] ?? "")),
    );
    const won = replies.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    const codes = replies.filter(({ status }) => status !== 200).map(({ body }) => body.error.code);
    expect(codes).toEqual(Array(CLAIMS - 1).fill("claim_used"));
    const [winner] = won;
    secrets.push(winner?.body.token);
    expect(winner?.body).toMatchObject({ sessionId, attempt: 1, metadata: { language: "en" } });

    // The token opens the room. A repeated claim is answered until the replay window ends.
    const agent = await visit({ url: winner?.body.url, token: winner?.body.token });
    visitors.push(agent);
    expect((await scene.rooms.participants(winner?.body.room)).map(({ identity }) => identity)).toEqual([
      `agent-${sessionId}-1`,
    ]);
    const last = await until(
      async () => {
        const again = await claim(winner?.nonce ?? "", scene.stack.url);
        if (again.status === 200) secrets.push(again.body.token);
        return again.status === 200 ? undefined : again;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 200, what: "the claim is used up" },
    );
    expect([last.status, last.body.error.code]).toEqual([409, "claim_used"]);
    await eventWhen(trace, "dispatch_claimed 1");
    await eventWhen(trace, "dispatch_claim_failed 1");
    expect(wordsOf(await eventsOf(trace)).filter((word) => word.startsWith("dispatch_claim"))).toHaveLength(
      2,
    );
    await scene.end(sessionId);
  });
});

describe("an agent runner", () => {
  test("receives the HTTP starts of its profile", async () => {
    const { status, body } = await scene.ask({ profile: "raced", wait: 0, metadata: { topic: "weather" } });
    expect(status).toBe(202);
    const isIts = (launch: Json) => launch.session_id === body.sessionId;
    await until(() => launches.some(isIts), {
      timeoutMs: PATIENCE_MS,
      what: "the runner receives the launch",
    });
    expect(launches.find(isIts)).toMatchObject({
      type: "agent_session.launch",
      tenant_id: DEFAULT_TENANT,
      agent_id: "raced",
      attempt: 1,
      trace_id: body.sessionId,
      metadata: { topic: "weather" },
    });
    expect((await scene.end(body.sessionId)).endedReason).toBe("cancelled");
  });
});

describe("an invalid handoff", () => {
  test("is answered with an event, and blocks no other handoff", async () => {
    const { trace } = await handOff({ room: "standby-of-another" });
    const invalid = await eventWhen(trace, "handoff_invalid_payload");
    expect(invalid.message).toContain("standby-of-another");
    const other = await connect({ servers: scene.stack.natsUrl });
    other.publish(handoffRequests.subjects, "not json");
    await other.drain();
    await until(
      async () =>
        (await scene.bus.streams.read(handoffEvents, { limit: 1000, order: "newest-first" })).some(
          ({ message }) =>
            message.type === "handoff_invalid_payload" && message.message.includes("is not JSON"),
        ),
      { timeoutMs: PATIENCE_MS, everyMs: 100, what: "the event about the invalid JSON is published" },
    );
  });
});

describe("a stored message or log line", () => {
  test("contains no token, nonce or secret", async () => {
    const stored = await everythingStored(scene.stack.natsUrl);
    const logs = [...scene.stack.children, ...runners].map((each) => each.text()).join("\n");
    // The searched texts are not empty.
    for (const known of ["handoff_requested", "KV_claims", "KV_launches", "KV_sessions", "dispatch_claimed"])
      expect(stored).toContain(known);
    for (const known of ["session claimed", "a handoff became a session", '"claimed"'])
      expect(logs).toContain(known);
    expect(secrets.length).toBeGreaterThan(CLAIMS + 5);
    for (const secret of secrets) {
      expect(stored.includes(secret), `${secret.slice(0, 12)}… is stored`).toBe(false);
      expect(logs.includes(secret), `${secret.slice(0, 12)}… is logged`).toBe(false);
    }
    // No other token is stored either: three parts of base64url, the first of which begins with `{"`.
    const token = /eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}/;
    expect(token.exec(stored)?.[0]).toBeUndefined();
    expect(token.exec(logs)?.[0]).toBeUndefined();
  });
});
