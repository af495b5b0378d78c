// Webhooks, and the erasure of a person's and a tenant's data, with real processes on a real NATS.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { verifyReceipt } from "../../../libs/auth/receipts.ts";
import { leaveTraces, type Person } from "../../kit/fixtures/canary.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const SECRET = "receipts of a test are signed by this";
const ann: Person = { tenant: "default", user: "ann-4711", canary: "Canary-Ann-7c1f09", name: "ann" };
const bob: Person = { tenant: "default", user: "bob-0815", canary: "Canary-Bob-91d2aa", name: "bob" };
const eve: Person = { tenant: "other", user: "ann-4711", canary: "Canary-Eve-55aa31", name: "eve" };

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

let scene: Scene;
let nats: NatsConnection;
let receiver: Server;
const received: Received[] = [];
let answers: number[] = [];

beforeAll(async () => {
  receiver = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    received.push({ headers: request.headers as Record<string, string>, body });
    response.writeHead(answers.shift() ?? 204).end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  scene = await openScene({
    agents: ["quick"],
    mock: true,
    calls: 2,
    webhooks: 2,
    privacy: 2,
    env: {
      GREENROOM_WEBHOOK_ALLOW: "127.0.0.1",
      GREENROOM_ERASURE_SETTLE_MS: "2000",
      GREENROOM_RECEIPT_SECRET: SECRET,
      GREENROOM_REPORT_WAIT_MS: "500",
      KPI_ROLLUP_INTERVAL_MS: "500",
    },
  });
  await scene.pool("quick", { idle: 3 });
  nats = await connect({ servers: scene.stack.natsUrl });
});

afterAll(async () => {
  await nats?.close();
  await scene?.stop();
  receiver?.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

const bodies = (): Json[] => received.map(({ body }) => JSON.parse(body));
const eventsOf = (sessionId: string): string[] =>
  bodies()
    .filter((event) => event.sessionId === sessionId)
    .map((event) => `${event.sequence} ${event.type}`);

/**
 * Returns the names of the streams, including those of buckets, that contain a text in a subject or a message.
 * @param marks whether to search delete markers too, which expire after two minutes
 */
async function streamsWith(text: string, marks = true): Promise<string[]> {
  const manager = await nats.jetstreamManager();
  const found: string[] = [];
  for await (const { config, state } of manager.streams.list()) {
    const missing = new Set(state.deleted ?? []);
    for (let seq = state.first_seq; seq <= state.last_seq && state.messages > 0; seq++) {
      if (missing.has(seq)) continue;
      const message = await manager.streams.getMessage(config.name, { seq }).catch(() => undefined);
      if (message === undefined || (!marks && message.data.length === 0)) continue;
      if (message.subject.includes(text) || message.string().includes(text)) {
        found.push(config.name);
        break;
      }
    }
  }
  return found.sort();
}

const isGone = (id: string): Promise<Json> =>
  until(
    async () => {
      const { job } = (await scene.stack.get(`/api/deletion-jobs/${id}`)).body;
      return job.state === "done" ? job : undefined;
    },
    { timeoutMs: PATIENCE_MS, what: `the deletion ${id} is done` },
  );

/** Counts a text in the files of the store; undefined if the files are elsewhere. */
function timesInStore(text: string): number | undefined {
  const root = join(scene.stack.nats.dir, "jetstream");
  if (!existsSync(root)) return undefined;
  let times = 0;
  const look = (path: string) => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) look(join(path, name));
    else times += readFileSync(path, "latin1").split(text).length - 1;
  };
  look(root);
  return times;
}

describe("a webhook endpoint", () => {
  test("receives the signed events of a session in order, although its first answer is a failure", async () => {
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
    const registered = await scene.stack.post("/api/webhooks", { url });
    expect(registered.status).toBe(201);
    const { webhook, secret } = registered.body;
    answers = [503];
    const { sessionId } = await scene.start({ profile: "quick", userId: "someone" });
    await scene.end(sessionId);
    await until(() => eventsOf(sessionId).includes("3 call.completed"), {
      timeoutMs: PATIENCE_MS,
      what: () => `all events of ${sessionId} are delivered; delivered: ${eventsOf(sessionId)}`,
    });
    // Every event is delivered at least once, in order. The first one was refused, and so delivered twice.
    expect([...new Set(eventsOf(sessionId))]).toEqual([
      "1 session.ready",
      "2 session.ended",
      "3 call.completed",
    ]);
    expect(eventsOf(sessionId).slice(0, 2)).toEqual(["1 session.ready", "1 session.ready"]);
    for (const { headers, body } of received)
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    const listed = await until(
      async () => {
        const { deliveries } = (await scene.stack.get(`/api/webhooks/${webhook.id}/deliveries`)).body;
        return deliveries.length >= 4 ? deliveries : undefined;
      },
      { timeoutMs: PATIENCE_MS, what: "four tries are listed" },
    );
    expect(listed.at(-1)).toMatchObject({ outcome: "failed", status: 503, tries: 1, sequence: 1 });
    expect(listed.at(-2)).toMatchObject({ outcome: "delivered", status: 204, tries: 2, sequence: 1 });
    const again = await scene.stack.post(`/api/webhooks/${webhook.id}/replay`, {
      eventId: `evt_session_${sessionId}_2`,
    });
    expect(again.status).toBe(202);
    const ofEnd = () =>
      received.filter(({ headers }) => headers["webhook-id"] === `evt_session_${sessionId}_2`);
    await until(() => ofEnd().length >= 2, {
      timeoutMs: PATIENCE_MS,
      what: () => `the replay arrives; got ${received.length} deliveries`,
    });
    expect(ofEnd()[1]?.body).toBe(ofEnd()[0]?.body);
    const logged = scene.stack.children.map((child) => child.text()).join("\n");
    expect(logged).not.toContain(secret);
  });
});

describe("data erasure", () => {
  let sessionId: string;

  beforeAll(async () => {
    for (const person of [ann, bob, eve]) await leaveTraces(scene.bus, person);
    const body = { profile: "quick", userId: ann.user, userName: ann.canary, metadata: { note: ann.canary } };
    ({ sessionId } = await scene.start(body));
    // The test agent logs its job, which contains the canary.
    await scene.logged(sessionId, ann.canary);
  });

  test("removes a person from all streams, buckets and logs, and leaves everybody else", async () => {
    const before = await streamsWith(ann.canary);
    expect(before).toEqual(expect.arrayContaining(["CALLS", "KV_sessions", "SESSIONS", "SESSION_LOGS"]));
    const bobs = await streamsWith(bob.canary);
    const inStoreBefore = timesInStore(ann.canary);
    const answer = await fetch(`${scene.stack.url}/api/tenants/default/users/${ann.user}/data`, {
      method: "DELETE",
    });
    expect(answer.status).toBe(202);
    const { job } = (await answer.json()) as Json;
    const done = await isGone(job.id);
    // The running session is ended first. Its record is deleted, and so are the events of its end.
    await until(async () => (await scene.stack.get(`/api/session/${sessionId}`)).status === 404, {
      timeoutMs: PATIENCE_MS,
      what: "the gateway has seen the deletion of the record",
    });
    expect(await streamsWith(ann.canary)).toEqual([]);
    expect(await streamsWith(sessionId, false)).toEqual([]);
    expect(await streamsWith(bob.canary)).toEqual(bobs);
    // An agent's log lines are also in the output of its host, which the operator keeps. No other service logs them.
    const others = scene.stack.children.filter(({ service }) => service !== "agent-host");
    expect(others.map((child) => child.text()).join("\n")).not.toContain(ann.canary);
    expect(done.counts).toMatchObject({ sessions: expect.any(Number), CALLS: 2 });
    const receipt = await verifyReceipt(done.receipt, { secret: SECRET });
    expect(receipt).toMatchObject({ jti: job.id, kind: "user", counts: done.counts });
    console.error("occurrences in the store's files", {
      before: inStoreBefore,
      after: timesInStore(ann.canary),
    });
  });

  test("removes a tenant, and leaves the receipts and other tenants", async () => {
    const eves = await streamsWith(eve.canary);
    const answer = await fetch(`${scene.stack.url}/api/tenants/default/data`, { method: "DELETE" });
    const { job } = (await answer.json()) as Json;
    await isGone(job.id);
    expect(await streamsWith(bob.canary)).toEqual([]);
    expect(await streamsWith(eve.canary)).toEqual(eves);
    expect(await streamsWith(".default.", false)).toEqual(["KV_deletion_jobs"]);
    expect((await scene.stack.get("/api/webhooks")).body.webhooks).toEqual([]);
  });
});
