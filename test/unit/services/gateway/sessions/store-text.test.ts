// Large metadata of sessions, and what the tokens of their users have.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sessionMetadata, sessions } from "../../../../../libs/contracts/buckets.ts";
import type { Requested } from "../../../../../libs/contracts/sessions/session.ts";
import { metadataOf } from "../../../../../libs/fleet/stored-texts.ts";
import type { SimulatedRooms } from "../../../../../libs/livekit/simulated-rooms.ts";
import { until } from "../../../../kit/until.ts";
import { joinableRooms, type Rig, receiveWebhook, startRig } from "../../../../kit/worlds/gateway-world.ts";

const START = "/api/session/start";
const LARGE = { lines: Array.from({ length: 1000 }, (_, line) => `line ${line} "é"`) };
const TEXT = JSON.stringify(LARGE);
const PARTICIPANT = { participantMetadata: "m".repeat(5000), participantAttributes: { plan: "gold" } };

let rig: Rig;
beforeEach(async () => {
  rig = await startRig({ livekit: joinableRooms() });
});
afterEach(() => rig.stop());

const rooms = () => rig.livekit?.rooms as SimulatedRooms;
const requests = (): Requested[] => rig.events().filter((event) => event.type === "requested");
const storedTexts = async () =>
  (await rig.bus.kv.entries(sessionMetadata)).map(({ value }) =>
    Buffer.from(value.base64, "base64").toString(),
  );
const recordOf = async (id: string) => (await rig.bus.kv.get(sessions, `default.${id}`))!.value;
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

describe("a large text of metadata", () => {
  test("is stored apart from the record, which has their size", async () => {
    const { body } = await rig.post(START, { metadata: LARGE });
    expect(await storedTexts()).toEqual([TEXT]);
    const record = await recordOf(body.sessionId);
    expect(record).toMatchObject({ metadata: {}, stored: { metadata: { bytes: Buffer.byteLength(TEXT) } } });
    expect(JSON.stringify(record).length).toBeLessThan(2000);
    expect(await metadataOf(rig.bus, record)).toEqual(LARGE);
    const { sessions: listed } = (await rig.get("/api/sessions")).body;
    expect(listed[0].metadataBytes).toBe(Buffer.byteLength(TEXT));
  });

  test("is stored once for a repeated request, and never replaced by another request", async () => {
    const key = { "idempotency-key": "order-7" };
    const race = await Promise.all([
      rig.post(START, { metadata: LARGE }, key),
      rig.post(START, { metadata: LARGE }, key),
      rig.post(START, { metadata: { ...LARGE, other: true } }, key),
    ]);
    const { status, body } = await rig.post(START, { metadata: { ...LARGE, last: true } }, key);
    expect({ status, code: body.error.code }).toEqual({ status: 409, code: "idempotency_conflict" });
    const winner = race.findIndex((answer) => answer.status === 200);
    const kept = winner === 2 ? { ...LARGE, other: true } : LARGE;
    const won = winner === 2 ? [200, 409, 409] : [200, 200, 409];
    expect(race.map((answer) => answer.status).sort()).toEqual(won);
    expect(await metadataOf(rig.bus, await recordOf(race[winner]?.body.sessionId))).toEqual(kept);
    expect((await storedTexts()).length).toBeLessThanOrEqual(2);
  });

  test("is not stored for a start that is refused", async () => {
    const { status } = await rig.post(START, { profile: "missing", metadata: LARGE });
    expect(status).toBe(404);
    expect(await storedTexts()).toEqual([]);
  });

  test("goes from a token to the session of its user", async () => {
    const text = `{ "a": "${"é".repeat(4000)}" }`;
    const { body, headers } = await rig.post("/api/livekit/token", {
      participant_identity: "bob",
      room_config: { agents: [{ agent_name: "echo", metadata: text }] },
    });
    const sessionId = String(headers["greenroom-session-id"]);
    const { room } = claimsOf(body.participant_token).video;
    const join = () => {
      rooms().join(room, { identity: "bob", isAgent: false });
      return receiveWebhook(rig, {
        event: "participant_joined",
        room,
        identity: "bob",
        kind: "STANDARD",
        name: "",
      });
    };
    expect(await join()).toBe(200);
    expect(await storedTexts()).toEqual([text]);
    await rig.post(`/api/session/${sessionId}/end`);
    await until(async () => (await recordOf(sessionId)).state === "ended", { what: "the session has ended" });
    expect(requests()[0]?.stored?.metadata?.bytes).toBe(Buffer.byteLength(text));
  });
});

describe("what a start has for its participant", () => {
  const given = { metadata: PARTICIPANT.participantMetadata, attributes: PARTICIPANT.participantAttributes };

  test("is in each token of the session's user, and of nobody else", async () => {
    const key = { "idempotency-key": "order-8" };
    const request = { userId: "ann", ...PARTICIPANT };
    const { body } = await rig.post(START, request, key);
    expect(claimsOf(body.token)).toMatchObject(given);
    expect(claimsOf((await rig.post(START, request, key)).body.token)).toMatchObject(given);
    const { sessionId } = body;
    const again = await rig.post("/api/token", { sessionId, userId: "ann", userName: "Ann" });
    expect(claimsOf(again.body.token)).toMatchObject(given);
    const other = await rig.post("/api/token", { sessionId, userId: "bob", userName: "Bob" });
    expect(claimsOf(other.body.token)).not.toHaveProperty("metadata");
    expect(claimsOf(other.body.token)).not.toHaveProperty("attributes");
    expect((await rig.post(START, { ...request, participantAttributes: { plan: "free" } }, key)).status).toBe(
      409,
    );
  });

  test("belongs to the user's next session, too", async () => {
    const { sessionId, room } = (await rig.post(START, { userId: "bob", ...PARTICIPANT })).body;
    await rig.move(sessionId, {
      type: "user_left",
      ...{ tenant: "default", sessionId, attempt: 1, host: "host-1", epoch: 1 },
      at: "2026-01-01T00:00:00.000Z",
    });
    await until(async () => (await rig.get(`/api/session/${sessionId}`)).body.state === "ended", {
      what: "the session has ended",
    });
    rooms().join(room, { identity: "bob", isAgent: false });
    await receiveWebhook(rig, {
      event: "participant_joined",
      room,
      identity: "bob",
      kind: "STANDARD",
      name: "",
    });
    expect(requests()[1]?.stored).toEqual(requests()[0]?.stored);
    expect(await storedTexts()).toHaveLength(4);
  });

  test.each([
    [
      "metadata",
      { participantMetadata: "é".repeat(262_145) },
      "body.participantMetadata: metadata may be 524,288",
    ],
    ["attributes", { participantAttributes: { a: "x".repeat(65_536) } }, "attributes may be 65,536 bytes"],
    [
      "attributes",
      { participantAttributes: { a: 1 } },
      "body.participantAttributes: expected an object with texts",
    ],
  ])("is refused beyond LiveKit's limits (%s)", async (_what, body, message) => {
    const { status, body: answer } = await rig.post(START, body);
    expect(status).toBe(400);
    expect(answer.error.message).toContain(message);
  });

  test("accepts one long value", async () => {
    const participantAttributes = { a: "x".repeat(65_535) };
    expect((await rig.post(START, { participantAttributes })).status).toBe(200);
  });
});
