// /api/webhooks: registration of endpoints, their status, and replay of events.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { webhookEndpoints, webhookQueues } from "../../../../../libs/contracts/buckets.ts";
import { webhookDeliveries, webhooks } from "../../../../../libs/contracts/streams.ts";
import {
  endpointKey,
  type WebhookMessage,
  webhookEventId,
} from "../../../../../libs/contracts/webhooks/webhook.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig();
});
afterEach(() => rig.stop());

const register = (body: object = {}) =>
  rig.post("/api/webhooks", { url: "https://hooks.example/x", ...body });

const aMessage = (endpoint: string, sequence: number, at = "2026-01-01T00:00:00.000Z"): WebhookMessage => ({
  tenant: "default",
  endpoint,
  about: "session",
  of: "s_1",
  event: {
    id: webhookEventId("session", "s_1", sequence),
    type: "session.ready",
    sessionId: "s_1",
    sequence,
    timestamp: at,
    data: {},
  },
});

describe("POST /api/webhooks", () => {
  test("returns the secret once, and never again", async () => {
    const { status, body, headers } = await register({ events: ["session.*", "call.completed"] });
    expect(status).toBe(201);
    expect(body.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(headers["cache-control"]).toBe("no-store");
    expect(body.webhook).toMatchObject({
      status: "active",
      events: ["session.*", "call.completed"],
      waiting: 0,
      delivered: 0,
    });
    const listed = await rig.get("/api/webhooks");
    expect(listed.body.webhooks).toEqual([body.webhook]);
    const one = await rig.get(`/api/webhooks/${body.webhook.id}`);
    expect(one.body.webhook).toEqual(body.webhook);
    for (const answer of [listed, one]) expect(JSON.stringify(answer.body)).not.toContain(body.secret);
    const stored = await rig.bus.kv.get(webhookEndpoints, endpointKey("default", body.webhook.id));
    expect(stored?.value.secret).toBe(body.secret);
  });

  test.each([
    "http://127.0.0.1/",
    "http://localhost:9/",
    "https://10.0.0.1/",
    "http://169.254.169.254/latest",
    "http://[::1]/",
    "ftp://example.com/",
    "https://me:secret@example.com/",
    "nonsense",
  ])("rejects %s and names the setting that allows it", async (url) => {
    const { status, body } = await register({ url });
    expect(status).toBe(400);
    expect(body.error.message).toContain("GREENROOM_WEBHOOK_ALLOW");
    expect((await rig.get("/api/webhooks")).body.webhooks).toEqual([]);
  });

  test("rejects unknown events and unknown fields", async () => {
    expect((await register({ events: ["session.sneezed"] })).status).toBe(400);
    expect((await register({ events: [] })).status).toBe(400);
    expect((await register({ secret: "mine" })).status).toBe(400);
  });

  test("limits the number of endpoints", async () => {
    for (let count = 0; count < 50; count++) expect((await register()).status).toBe(201);
    expect((await register()).body.error.code).toBe("conflict");
  });
});

test("allows private targets that the setting names", async () => {
  const open = await startRig({ env: { GREENROOM_WEBHOOK_ALLOW: "127.0.0.1, hooks.internal" } });
  for (const url of ["http://127.0.0.1:99/x", "http://localhost:99/", "https://hooks.internal/"])
    expect((await open.post("/api/webhooks", { url })).status).toBe(201);
  expect((await open.post("/api/webhooks", { url: "http://10.0.0.1/" })).status).toBe(400);
  await open.stop();
});

describe("a webhook", () => {
  let id: string;
  beforeEach(async () => {
    id = (await register()).body.webhook.id;
  });
  const queue = {
    v: 1 as const,
    tenant: "default",
    cursor: 5,
    failures: 4,
    delivered: 7,
    lanes: [{ key: "session-s_1", sequences: [4, 5], tries: 4, dueInMs: 9 }],
    lastFailure: { at: "2026-01-01T00:00:00.000Z", reason: "it answered 500" },
    heartbeat: 1,
    writeId: "x",
  };

  test("shows its last failure and the number of waiting events", async () => {
    await rig.bus.kv.update(webhookQueues, { ...queue, endpoint: id }, 0);
    expect((await rig.get(`/api/webhooks/${id}`)).body.webhook).toMatchObject({
      status: "failing",
      reason: "it answered 500",
      waiting: 2,
      delivered: 7,
    });
  });

  test("is shown as disabled until a person enables it", async () => {
    const disabled = { generation: 1, reason: "it answered 410 Gone", at: "2026-01-01T00:00:00.000Z" };
    await rig.bus.kv.update(webhookQueues, { ...queue, endpoint: id, failures: 0, disabled }, 0);
    expect((await rig.get("/api/webhooks")).body.webhooks[0]).toMatchObject({
      status: "disabled",
      reason: "it answered 410 Gone",
    });
    expect((await rig.post(`/api/webhooks/${id}/enable`)).body.webhook.status).toBe("active");
    expect((await rig.get(`/api/webhooks/${id}`)).body.webhook.status).toBe("active");
  });

  test("gets another secret once, and its previous one signs for another day", async () => {
    const before = await rig.bus.kv.get(webhookEndpoints, endpointKey("default", id));
    const { status, body, headers } = await rig.post(`/api/webhooks/${id}/rotate`);
    expect([status, headers["cache-control"]]).toEqual([200, "no-store"]);
    expect(body.secret).not.toBe(before?.value.secret);
    const after = (await rig.bus.kv.get(webhookEndpoints, endpointKey("default", id)))?.value;
    expect(after?.secret).toBe(body.secret);
    expect(after?.previous).toEqual({ secret: before?.value.secret, until: body.previousUntil });
    expect(Date.parse(body.previousUntil) - Date.now()).toBeGreaterThan(23 * 60 * 60 * 1000);
    expect(after?.generation).toBe(before?.value.generation);
    expect(JSON.stringify((await rig.get(`/api/webhooks/${id}`)).body)).not.toContain("whsec_");
    expect((await rig.post("/api/webhooks/wh_none/rotate")).status).toBe(404);
  });

  test("is deleted with its waiting events, and without those of others", async () => {
    const other = (await register()).body.webhook.id;
    for (const endpoint of [id, other]) await rig.bus.streams.publish(webhooks, aMessage(endpoint, 1));
    expect((await rig.remove(`/api/webhooks/${id}`)).status).toBe(200);
    expect(rig.server.stored(webhooks).map(({ message }) => message.endpoint)).toEqual([other]);
    expect((await rig.get(`/api/webhooks/${id}`)).status).toBe(404);
    expect((await rig.remove(`/api/webhooks/${id}`)).status).toBe(404);
  });

  test("lists its deliveries newest first, in pages, and by outcome", async () => {
    for (let sequence = 1; sequence <= 5; sequence++) {
      await rig.bus.streams.publish(webhookDeliveries, {
        ...{ tenant: "default", endpoint: sequence === 3 ? "another" : id, of: "s_1" },
        ...{ eventId: webhookEventId("session", "s_1", sequence), type: "session.ready" as const, sequence },
        ...{ outcome: sequence === 2 ? ("failed" as const) : ("delivered" as const), tries: 1, tookMs: 3 },
        at: "2026-01-01T00:00:00.000Z",
      });
    }
    const page = async (query: string) => (await rig.get(`/api/webhooks/${id}/deliveries?${query}`)).body;
    const first = await page("limit=2");
    expect(first.deliveries.map((one: { sequence: number }) => one.sequence)).toEqual([5, 4]);
    expect(first.deliveries[0]).toMatchObject({ about: "s_1", eventId: "evt_session_s_1_5" });
    const second = await page(`limit=2&cursor=${first.nextCursor}`);
    expect(second.deliveries.map((one: { sequence: number }) => one.sequence)).toEqual([2, 1]);
    expect((await page("outcome=failed")).deliveries).toHaveLength(1);
    expect((await rig.get(`/api/webhooks/${id}/deliveries?cursor=x`)).status).toBe(400);
  });

  test("replays one event by its id, with the same body", async () => {
    await rig.bus.streams.publish(webhooks, aMessage(id, 1));
    const { status, body } = await rig.post(`/api/webhooks/${id}/replay`, { eventId: "evt_session_s_1_1" });
    expect([status, body.replayed, body.complete]).toEqual([202, 1, true]);
    const [first, again] = rig.server.stored(webhooks).map(({ message }) => message);
    expect(again?.event).toEqual(first?.event);
    expect(again?.replay).toBeDefined();
    const unknown = await rig.post(`/api/webhooks/${id}/replay`, { eventId: "evt_session_s_1_2" });
    expect(unknown.status).toBe(404);
  });

  test("replays all events since a time, but no replays", async () => {
    for (let day = 1; day <= 4; day++)
      await rig.bus.streams.publish(webhooks, aMessage(id, day, `2026-01-0${day}T00:00:00.000Z`));
    const since = { since: "2026-01-03T00:00:00Z" };
    expect((await rig.post(`/api/webhooks/${id}/replay`, since)).body.replayed).toBe(2);
    expect((await rig.post(`/api/webhooks/${id}/replay`, since)).body.replayed).toBe(2);
    expect(rig.server.stored(webhooks)).toHaveLength(8);
    expect((await rig.post(`/api/webhooks/${id}/replay`, {})).status).toBe(400);
    expect((await rig.post("/api/webhooks/wh_none/replay", since)).status).toBe(404);
  });
});
