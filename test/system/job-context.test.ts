// The job that an agent file meets: the same fields under LiveKit's own worker and under Greenroom.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { AgentDispatchClient } from "livekit-server-sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { LiveKitWorker } from "../kit/servers/livekit-workers.ts";
import { lifeOf, openScene, PATIENCE_MS, reasonsOf, type Scene } from "../kit/stack/scene.ts";
import type { Json } from "../kit/stack/stack.ts";
import { type Visitor, visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const AGENT = join(import.meta.dirname, "../agents/context.ts");
const COMPATIBILITY = join(import.meta.dirname, "../../docs/compatibility.md");
/** Metadata that JSON would change, or that is no JSON. */
const TEXTS = ["tenant-42", "", "12345678901234567890", '{ "b": 1.0, "a": "\\u00e9" }'];

let scene: Scene;
let worker: LiveKitWorker;
const visitors: Visitor[] = [];

beforeAll(async () => {
  scene = await openScene({ agents: ["context", "named"], env: { GREENROOM_READY_AFTER_MS: "1000" } });
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("This stack has no LiveKit");
  worker = await LiveKitWorker.start(livekit, AGENT);
  await scene.pool("context", { idle: 2, hot: 1 });
});
afterEach(async () => {
  await Promise.all(visitors.splice(0).map((visitor) => visitor.leave()));
  await expectNothingLeft(scene);
});
afterAll(async () => {
  await worker?.kill9();
  await scene?.stop();
});

/** The job of LiveKit's own worker, which has one in each room. */
async function underLiveKit(room: string, metadata: string): Promise<Json> {
  const { livekit } = scene.stack;
  const client = new AgentDispatchClient(
    livekit?.url.replace(/^ws/, "http") ?? "",
    livekit?.apiKey,
    livekit?.apiSecret,
  );
  await client.createDispatch(room, "front-desk", { metadata });
  const line = await until(
    () =>
      worker
        .text()
        .split("\n")
        .slice(0, -1) // The last line may be incomplete.
        .find((text) => text.startsWith("context {") && text.includes(`"name":"${room}"`)),
    { timeoutMs: PATIENCE_MS, what: () => `the worker's job runs; its output:\n${worker.text()}` },
  );
  await scene.rooms.delete(room);
  return JSON.parse(line.slice("context ".length));
}

async function contextOf(id: string): Promise<Json> {
  return JSON.parse((await scene.logged(id, /^context \{/)).slice("context ".length));
}

/** The fields of a context by their paths, such as `job.room.name`. */
function fieldsOf(value: Json, path = ""): ReadonlyMap<string, unknown> {
  const isLeaf = typeof value !== "object" || value === null || Array.isArray(value);
  if (isLeaf || Object.keys(value).length === 0) return new Map([[path, value]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [
      ...fieldsOf(inner, path === "" ? key : `${path}.${key}`),
    ]),
  );
}

const ROOM = /^(a-room-(hot|warm)|my-own-room|standby-.*)$/;
/** Fields with values of their own under both, of these forms. All other fields have the same values. */
const FORMS: Readonly<Record<string, RegExp>> = {
  "job.id": /^AJ_|^s_\w+-1$/,
  "job.dispatchId": /^AD_|^s_\w+$/,
  "job.state.workerId": /^AW_|^host-1$/,
  "job.state.startedAt": /^\d{19}$/,
  "job.state.updatedAt": /^\d{19}$/,
  "job.room.sid": /^RM_/,
  "job.room.name": ROOM,
  "job.room.creationTime": /^\d{10}$/,
  "job.room.creationTimeMs": /^\d{13}$/,
  "job.room.emptyTimeout": /^[1-9]\d*$/,
  "job.room.departureTimeout": /^[1-9]\d*$/,
  "job.room.numParticipants": /^[01]$/,
  "info.acceptArguments.identity": /^agent-/,
  "info.workerId": /^AW_|^host-1$/,
  "info.token.sub": /^agent-/,
  "info.token.video.room": ROOM,
  workerId: /^AW_|^host-1$/,
  "agent.identity": /^agent-/,
  "agent.sid": /^PA_/,
  "room.name": ROOM,
  "room.creationTime": /^2/,
  "room.emptyTimeout": /^[1-9]\d*$/,
  "room.departureTimeout": /^[1-9]\d*$/,
  "room.numParticipants": /^[01]$/,
};
/** Claims that LiveKit adds when it renews a token. */
const RENEWED = ["exp", "iat", "nbf", "identity", "attributes"].map((claim) => `info.token.${claim}`);
const DIFFERENT = ["info.token.video.canSubscribeMetrics", "job.room.turnPassword"];
/** Fields that LiveKit's worker fills when the agent connects. A hot agent is connected before. */
const FILLED_BY_CONNECT = /^(room|agent)\./;

/** The paths of the fields that differ between two contexts, sorted. */
function differencesOf(one: Json, other: Json): string[] {
  const [ones, others] = [fieldsOf(one), fieldsOf(other)];
  return [...new Set([...ones.keys(), ...others.keys()])]
    .filter((path) => !RENEWED.some((claim) => path === claim || path.startsWith(`${claim}.`)))
    .filter((path) => {
      const values = [ones.get(path), others.get(path)];
      const form = FORMS[path];
      if (form !== undefined && values.every((value) => form.test(String(value)))) return false;
      return !isDeepStrictEqual(values[0], values[1]);
    })
    .sort();
}

describe("the job of an agent", () => {
  test.each(["hot", "warm"])("has the fields of LiveKit's worker (%s)", async (warm) => {
    const room = warm === "hot" ? {} : { room: "my-own-room" };
    const expected = await underLiveKit(`a-room-${warm}`, "{}");
    await scene.pool("context", { idle: 2, hot: 1 });
    const { sessionId } = await scene.start({ profile: "context", ...room });
    expect(await scene.session(sessionId)).toMatchObject({ warm });
    const found = await contextOf(sessionId);
    expect(differencesOf(expected.after, found.after)).toEqual(DIFFERENT);
    const before = differencesOf(expected.before, found.before);
    const isEarly = (path: string) => warm === "hot" && FILLED_BY_CONNECT.test(path);
    expect(before.filter((path) => !isEarly(path))).toEqual(DIFFERENT);
    const { numParticipants } = found.after.job.room;
    expect({ ...found.before.job.room, numParticipants }).toEqual(found.after.job.room);
    expect(found.after.job.room.sid).toBe(found.sid);
    expect(found.after.agent.identity).toBe(found.after.info.token.sub);
  });

  test.each([...RENEWED, ...DIFFERENT])("documents that it has another %s", async (path) => {
    expect(await readFile(COMPATIBILITY, "utf8")).toContain(`| \`${path}\``);
  });

  test.each(TEXTS)("has the metadata %j byte for byte", async (metadata) => {
    const { status, body, headers } = await scene.stack.post("/api/livekit/token", {
      start: "now",
      room_config: { agents: [{ agent_name: "front-desk", metadata }] },
    });
    expect(status, JSON.stringify(body)).toBe(201);
    const { after } = await contextOf(headers.get("greenroom-session-id") ?? "");
    expect(after.job.metadata ?? "").toBe(metadata);
  });
});

describe("the requestFunc of an agent file", () => {
  test.each([{}, { identity: "desk" }])("names the participant of a hot or warm agent (%j)", async (own) => {
    // After the first of these sessions, whose agent leaves its standby room, the pool keeps no hot agents.
    await scene.pool("context", { idle: 2, ...(own.identity === undefined ? { hot: 1 } : {}) });
    const wanted = { ...own, name: "Ann", metadata: "of the agent", attributes: { desk: "7" } };
    const answer = await scene.start({ profile: "context", metadata: wanted });
    expect(answer).toMatchObject({ warm: own.identity === undefined ? "hot" : "warm", attempt: 1 });
    const { after } = await contextOf(answer.sessionId);
    const attributes = { desk: "7", "lk.agent.name": "front-desk" };
    expect(after.agent).toMatchObject({ name: "Ann", metadata: "of the agent", attributes });
    expect(after.info.acceptArguments).toMatchObject({ ...wanted, identity: after.agent.identity });
    if (own.identity !== undefined)
      expect(after.agent.identity).toBe(`${own.identity}-${answer.sessionId}-1`);
    const visitor = await visit(answer);
    visitors.push(visitor);
    const agent = await until(() => visitor.others()[0], {
      timeoutMs: PATIENCE_MS,
      what: "the agent is there",
    });
    expect(agent).toMatchObject({ identity: after.agent.identity, attributes });
    expect(await scene.session(answer.sessionId)).toMatchObject({ state: "ready" });
  });

  test("names a hot agent whose AgentSession connects, and its user hears it", async () => {
    await scene.pool("named", { idle: 1, hot: 1 });
    const answer = await scene.start({ profile: "named" });
    expect(answer).toMatchObject({ warm: "hot", attempt: 1 });
    const visitor = await visit(answer);
    visitors.push(visitor);
    await until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the user hears the agent" });
    // The agent sets the name after it has joined.
    await until(() => visitor.others()[0]?.attributes["lk.agent.name"] === "named", {
      timeoutMs: PATIENCE_MS,
      what: () => `the agent has its name: ${JSON.stringify(visitor.others())}`,
    });
    expect(visitor.others()).toMatchObject([{ attributes: { desk: "7", "lk.agent.name": "named" } }]);
  });

  test("ends a session whose job it accepts with invalid arguments", async () => {
    const { body } = await scene.ask({ profile: "named", metadata: { invalid: true }, wait: 0 });
    const session = await scene.ended(body.sessionId);
    expect(session).toMatchObject({ endedReason: "agent_error", attempt: 1 });
    expect(JSON.stringify(session)).toContain("accepted the job with invalid arguments");
  });

  test("rejects a job at no cost, and another agent is asked", async () => {
    const answer = await scene.start({ profile: "context", metadata: { rejects: "-1" } });
    const session = await scene.session(answer.sessionId);
    expect(session).toMatchObject({ attempt: 2, failures: 0 });
    expect(lifeOf(session)).toEqual(expect.arrayContaining(["dispatched 1", "requested 2", "ready 2"]));
    expect(reasonsOf(session)).toContain("the file's requestFunc rejected the job");
  });
});
