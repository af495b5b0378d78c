// Metadata of LiveKit's sizes: byte for byte to the agent, also to the next one, and out of the session's record.
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { sessionMetadata } from "../../libs/contracts/buckets.ts";
import type { RoomEvent } from "../../libs/contracts/fleet/pool.ts";
import { roomEvents } from "../../libs/contracts/streams.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const KIB = 1024;

let scene: Scene;
const visitors: Visitor[] = [];

beforeAll(async () => {
  scene = await openScene({ agents: ["sizes"] });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(() => scene?.stop());

async function join(answer: { url: string; token: string }): Promise<Visitor> {
  const visitor = await visit(answer);
  visitors.push(visitor);
  return visitor;
}

/** A request of LiveKit's TokenSource, answered with the id of the session. */
async function tokenFor(body: object): Promise<{ id: string; url: string; token: string }> {
  const answer = await scene.stack.post("/api/livekit/token", body);
  expect(answer.status, JSON.stringify(answer.body).slice(0, 500)).toBe(201);
  const { server_url: url, participant_token: token } = answer.body;
  return { id: answer.headers.get("greenroom-session-id") ?? "", url, token };
}

/** The report of the agent about a text. */
const reportOf = (text: string): string =>
  `metadata ${Buffer.byteLength(text)} ${createHash("sha256").update(text).digest("hex")}`;

/** JSON in a form of its own, with characters outside ASCII, of about 300 KB. */
const text300 = (): string =>
  `{ "note" : "é\\u00e9",\n "lines": [${Array.from({ length: 15_000 }, (_, line) => `"line ${line} ü"`).join(", ")}] }`;

async function killAgent(id: string): Promise<void> {
  const pid = (await scene.slotOf(id))?.agentProcess.pid;
  process.kill(pid, "SIGKILL");
  await scene.sessionWhen(id, ({ state, attempt }) => state === "ready" && attempt === 2, "is served again");
}

/** Waits until two attempts of a session have reported the text. */
const untilReportedTwice = (id: string, text: string) =>
  until(
    async () =>
      new Set(
        (await scene.logs(id))
          .filter(({ message }) => message === reportOf(text))
          .map(({ attempt }) => attempt),
      ).size === 2,
    { timeoutMs: PATIENCE_MS, everyMs: 100, what: "both attempts report the metadata" },
  );

/** The user of a session, as its agent sees it. */
async function userSeenIn(id: string) {
  return JSON.parse((await scene.logged(id, /^user \{/)).slice("user ".length));
}

describe("the participant of a start", () => {
  test("has the metadata and attributes of the request, of LiveKit's sizes", async () => {
    const participantMetadata = "m".repeat(512 * KIB);
    const participantAttributes = { plan: "gold", long: "x".repeat(63 * KIB) };
    const answer = await scene.start({
      profile: "sizes",
      ...{ userId: "ann", participantMetadata, participantAttributes },
    });
    await join(answer);
    expect(await userSeenIn(answer.sessionId)).toMatchObject({
      ...{ identity: "ann", bytes: 512 * KIB, attributes: participantAttributes },
    });
    await scene.end(answer.sessionId);
  });
});

describe("the room of a token", () => {
  test("has the options and metadata of the token, and its webhooks arrive whole", async () => {
    const seen: RoomEvent[] = [];
    const stop = await scene.bus.core.subscribe(roomEvents, (event) => seen.push(event));
    const text = "m".repeat(300 * KIB);
    const { id, ...answer } = await tokenFor({
      ...{ room_name: "of-options", participant_identity: "ann", participant_metadata: text },
      participant_attributes: { long: "x".repeat(63 * KIB) },
      room_config: {
        agents: [{ agent_name: "sizes" }],
        metadata: text,
        max_participants: 1,
        empty_timeout: 77,
        departure_timeout: 1,
      },
    });
    await join(answer);
    await scene.sessionWhen(id, ({ state }) => state === "ready", "is ready");
    expect(await userSeenIn(id)).toMatchObject({ identity: "ann", bytes: text.length, room: text });
    expect(await scene.rooms.config("of-options")).toMatchObject({
      ...{ emptyTimeout: 77, departureTimeout: 1, maxParticipants: 1, metadata: text },
    });
    await until(
      () => seen.some(({ event, identity }) => event === "participant_joined" && identity === "ann"),
      {
        timeoutMs: PATIENCE_MS,
        what: "LiveKit's webhook arrives",
      },
    );
    const late = await scene.stack.post("/api/livekit/token", {
      ...{ room_name: "of-options", room_config: { max_participants: 9 } },
    });
    expect(late.body.error.message).toContain('max_participants: the room "of-options" exists already');
    await stop();
    await scene.end(id);
  });

  test("has one agent, so a request for several is refused", async () => {
    const agents = [{ agent_name: "sizes" }, { agent_name: "sizes" }];
    const { body, status } = await scene.stack.post("/api/livekit/token", { room_config: { agents } });
    expect(status).toBe(400);
    expect(body.error.message).toContain("body.room_config.agents: a session has one agent");
  });
});

describe("large metadata", () => {
  test("reaches the agents of a token's session byte for byte, also after a failover", async () => {
    const metadata = text300();
    const { id, ...answer } = await tokenFor({
      room_config: { agents: [{ agent_name: "sizes", metadata }] },
    });
    await join(answer);
    await scene.sessionWhen(id, ({ state }) => state === "ready", "is ready");
    await scene.logged(id, reportOf(metadata));
    await killAgent(id);
    await untilReportedTwice(id, metadata);
    await scene.end(id);
  });

  test("reaches the agents of a start, and leaves the record small", async () => {
    const metadata = { lines: Array.from({ length: 15_000 }, (_, line) => `line ${line} "é"`) };
    const text = JSON.stringify(metadata);
    const answer = await scene.start({ profile: "sizes", metadata });
    await join(answer);
    const { sessionId } = answer;
    await scene.logged(sessionId, reportOf(text));
    await killAgent(sessionId);
    await untilReportedTwice(sessionId, text);
    for (const record of await scene.revisions(sessionId))
      expect(JSON.stringify(record).length).toBeLessThan(4 * KIB);
    expect(await scene.session(sessionId)).toMatchObject({ metadataBytes: Buffer.byteLength(text) });
    await scene.end(sessionId);
  });

  test("has 512 KiB at most", async () => {
    const most = `${"\u0001é".repeat(Math.floor((512 * KIB) / 3))}ab`;
    const config = (metadata: string) => ({ room_config: { agents: [{ agent_name: "sizes", metadata }] } });
    const { id, ...answer } = await tokenFor(config(most));
    await join(answer);
    await scene.sessionWhen(id, ({ state }) => state === "ready", "is ready");
    await scene.logged(id, reportOf(most));
    await scene.end(id);
    const stored = (await scene.bus.kv.entries(sessionMetadata, `default.${id}.*`)).map(({ value }) => value);
    expect(Buffer.from(stored[0]?.base64 ?? "", "base64").toString()).toBe(most);
    const refused = await scene.stack.post("/api/livekit/token", config(`${most}c`));
    expect(refused.status).toBe(400);
    expect(refused.body.error.message).toContain("room_config.agents.0.metadata");
  });
});
