// Routes for tasks, with a tasks service on the in-memory bus.
import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, test, vi } from "vitest";
import { tasks } from "../../../../../libs/contracts/buckets.ts";
import { sessionEvents, taskRequests } from "../../../../../libs/contracts/streams.ts";
import { systemClock } from "../../../../../libs/runtime/clock.ts";
import { silentLog } from "../../../../../libs/runtime/log.ts";
import { startTasks } from "../../../../../services/tasks/tasks.ts";
import { until } from "../../../../kit/until.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

vi.setConfig({ testTimeout: 60_000 });

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const limits = { perTenant: 20, perProvider: () => 20, total: 100, callingHours: undefined };

async function open({ withTasks = true, env = {} } = {}) {
  const rig = await startRig({ env });
  stops.push(() => rig.stop());
  const tasks = async () => {
    const running = await startTasks({
      bus: rig.server.connect("tasks"),
      clock: systemClock,
      log: silentLog,
      instance: "tasks-1",
      settings: { limits, rate: 1000, deadlineMs: { attempt: 60_000 }, providerOf: () => "pool" },
    });
    stops.unshift(() => running.stop());
  };
  if (withTasks) await tasks();
  return { rig, tasks };
}

const aTask = (more: object = {}) => ({ to: "+15550100", profile: "echo", ...more });

const become = (rig: Rig, id: string, state: string) =>
  until(
    async () => {
      const { body } = await rig.get(`/api/tasks/${id}`);
      return body.state === state ? body : undefined;
    },
    { what: `task ${id} is ${state}`, timeoutMs: 30_000 },
  );

describe("POST /api/tasks", () => {
  test("answers 202 with an id that shows the task and its attempts until completion", async () => {
    const { rig } = await open();
    const { status, body } = await rig.post(
      "/api/tasks",
      aTask({ from: "+15550199", metadata: { order: 7 } }),
    );
    expect([status, body.state]).toEqual([202, "queued"]);
    const running = await become(rig, body.taskId, "inProgress");
    expect(running).toMatchObject({
      to: "+15550100",
      from: "+15550199",
      provider: "pool",
      metadata: { order: 7 },
      attempt: 1,
      attempts: [{ n: 1, sessionId: `${body.taskId}-1`, state: "inProgress" }],
    });
    await rig.post(`/api/session/${body.taskId}-1/end`);
    const done = await become(rig, body.taskId, "completed");
    expect(done.attempts[0].states.map(({ state }: { state: string }) => state)).toEqual([
      "dialing",
      "inProgress",
      "completed",
    ]);
    expect(done.error).toBeNull();
  });

  test("returns the same task for a repeat with the same key, and a conflict for a different request", async () => {
    const { rig } = await open();
    const key = { "idempotency-key": "order 7" };
    const first = await rig.post("/api/tasks", aTask(), key);
    const again = await rig.post("/api/tasks", aTask({ idempotencyKey: "order 7" }));
    expect(again.body.taskId).toBe(first.body.taskId);
    expect([first.headers["idempotent-replayed"], again.headers["idempotent-replayed"]]).toEqual([
      undefined,
      "true",
    ]);
    await become(rig, first.body.taskId, "inProgress");
    const late = await rig.post("/api/tasks", aTask(), key);
    expect(late.body).toMatchObject({ taskId: first.body.taskId, state: "inProgress" });
    const other = await rig.post("/api/tasks", aTask({ to: "+15550111" }), key);
    expect([other.status, other.body.error.code]).toEqual([409, "idempotency_conflict"]);
    expect(rig.server.entries(tasks)).toHaveLength(1);
  });

  test("rejects impossible tasks with a reason, and stores none of them", async () => {
    const { rig } = await open();
    const refused = async (body: object, headers = {}) => {
      const answer = await rig.post("/api/tasks", body, headers);
      return [answer.status, answer.body.error.code];
    };
    expect(await refused(aTask({ to: "call me" }))).toEqual([400, "invalid_request"]);
    expect(await refused(aTask({ provider: "carrier-pigeon" }))).toEqual([400, "invalid_request"]);
    expect(await refused(aTask({ profile: "nobody" }))).toEqual([404, "unknown_profile"]);
    expect(await refused(aTask({ scheduleAt: "2099-01-01T00:00:00Z" }))).toEqual([400, "invalid_request"]);
    expect(await refused(aTask({ retry: { maxAttempts: 4 } }))).toEqual([400, "invalid_request"]);
    const keys = { "idempotency-key": "a" };
    expect(await refused(aTask({ idempotencyKey: "b" }), keys)).toEqual([400, "invalid_request"]);
    expect(rig.server.stored(taskRequests)).toEqual([]);
  });

  test("accepts a profile that only a provider has", async () => {
    const { rig } = await open({ env: { GREENROOM_PROVIDERS: "support=vapi" } });
    expect((await rig.post("/api/tasks", aTask({ profile: "support" }))).status).toBe(202);
    expect((await rig.post("/api/tasks", aTask({ profile: "sales", provider: "vapi" }))).status).toBe(202);
    expect((await rig.post("/api/tasks", aTask({ profile: "sales" }))).status).toBe(404);
  });

  test("shows and cancels a task that the tasks service has not read yet", async () => {
    const { rig, tasks } = await open({ withTasks: false });
    const { body } = await rig.post("/api/tasks", aTask());
    const seen = await rig.get(`/api/tasks/${body.taskId}`);
    expect(seen.body).toMatchObject({ state: "queued", attempt: 0, createdAt: null, provider: null });
    const canceled = await rig.post(`/api/tasks/${body.taskId}/cancel`);
    expect([canceled.status, canceled.body.state]).toEqual([202, "queued"]);
    await tasks();
    await until(
      async () => ["canceled", "completed"].includes((await rig.get(`/api/tasks/${body.taskId}`)).body.state),
      { what: "the task is canceled", timeoutMs: 20_000 },
    );
    expect((await rig.get(`/api/tasks/${body.taskId}`)).body.state).toBe("canceled");
  });
});

describe("a task in progress", () => {
  test("is canceled with its session and can be retried; a completed one can be neither", async () => {
    const { rig } = await open();
    const { taskId } = (await rig.post("/api/tasks", aTask())).body;
    await become(rig, taskId, "inProgress");
    expect((await rig.post(`/api/tasks/${taskId}/retry`)).status).toBe(409);
    const canceled = await rig.post(`/api/tasks/${taskId}/cancel`);
    expect([canceled.status, canceled.body.state]).toEqual([200, "canceled"]);
    expect((await rig.post(`/api/tasks/${taskId}/cancel`)).status).toBe(200);
    await until(() => rig.events().some(({ type }) => type === "end_requested"), {
      what: "the end of its session is requested",
    });

    const retried = await rig.post(`/api/tasks/${taskId}/retry`);
    expect(retried.status).toBe(202);
    const again = await become(rig, taskId, "inProgress");
    expect(again).toMatchObject({ life: 2, attempt: 2, attempts: [{ state: "canceled" }, {}] });
    await rig.post(`/api/session/${taskId}-2/end`);
    await become(rig, taskId, "completed");
    expect((await rig.post(`/api/tasks/${taskId}/cancel`)).status).toBe(409);
    expect((await rig.post(`/api/tasks/${taskId}/retry`)).status).toBe(409);
    expect((await rig.post("/api/tasks/t_none/cancel")).status).toBe(404);
  });

  test("is retried with an unknown outcome only if the request accepts that", async () => {
    const { rig } = await open();
    const { taskId } = (await rig.post("/api/tasks", aTask({ scheduleAt: new Date(Date.now() + 600_000) })))
      .body;
    await until(() => rig.server.entries(tasks).length > 0, { what: "the task is accepted" });
    const [entry] = rig.server.entries(tasks);
    const unknown = { ...entry!.value, state: "unknown" as const, writeId: "test" };
    await rig.bus.kv.update(tasks, unknown, entry!.revision);
    const refused = await rig.post(`/api/tasks/${taskId}/retry`);
    expect([refused.status, refused.body.error.message]).toEqual([
      409,
      expect.stringContaining("evenIfUnknown"),
    ]);
    expect((await rig.post(`/api/tasks/${taskId}/retry`, { evenIfUnknown: true })).status).toBe(202);
    await become(rig, taskId, "inProgress");
  });
});

test("lists tasks in pages, newest first, by state", async () => {
  const { rig } = await open();
  const ids: string[] = [];
  for (let n = 0; n < 7; n++) {
    ids.unshift((await rig.post("/api/tasks", aTask({ to: `+1555010${n}` }))).body.taskId);
    await become(rig, ids[0] as string, "inProgress");
  }
  await rig.post(`/api/tasks/${ids[3]}/cancel`);
  const listed: string[] = [];
  let cursor = "";
  do {
    const { body } = await rig.get(`/api/tasks?limit=3${cursor}`);
    expect(body.tasks.length).toBeLessThanOrEqual(3);
    listed.push(...body.tasks.map(({ taskId }: { taskId: string }) => taskId));
    cursor = body.nextCursor === null ? "" : `&cursor=${body.nextCursor}`;
  } while (cursor !== "");
  expect(listed).toEqual(ids);
  const ofState = async (state: string) =>
    (await rig.get(`/api/tasks?state=${state}`)).body.tasks.map(({ taskId }: { taskId: string }) => taskId);
  expect(await ofState("canceled")).toEqual([ids[3]]);
  expect(await ofState("ended")).toEqual([ids[3]]);
  expect(await ofState("active")).toEqual(ids.filter((id) => id !== ids[3]));
  expect((await rig.get("/api/tasks?cursor=nonsense")).status).toBe(400);
});

const linesOf = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("POST /api/tasks/bulk", () => {
  const bulk = (rig: Rig, payload: string, type = "application/x-ndjson") =>
    rig.app.inject({ method: "POST", url: "/api/tasks/bulk", payload, headers: { "content-type": type } });

  test("accepts NDJSON, answers one line for each task in order, and refuses only the invalid ones", async () => {
    const { rig } = await open({ withTasks: false });
    const body = [
      JSON.stringify(aTask({ idempotencyKey: "a" })),
      "",
      '{"to": "+15550100", "profile": ',
      JSON.stringify(aTask({ profile: "nobody" })),
      JSON.stringify(aTask({ metadata: { big: "x".repeat(40_000) } })),
      JSON.stringify(aTask({ idempotencyKey: "a" })),
    ].join("\n");
    const answer = await bulk(rig, body);
    expect([answer.statusCode, answer.headers["content-type"]]).toEqual([
      200,
      "application/x-ndjson; charset=utf-8",
    ]);
    const lines = linesOf(answer.payload);
    expect(lines).toMatchObject([
      { index: 0 },
      { index: 1, error: { code: "invalid_request" } },
      { index: 2, error: { code: "unknown_profile" } },
      { index: 3, error: { code: "invalid_request" } },
      { index: 4, replayed: true },
      { done: true, accepted: 2, refused: 3 },
    ]);
    expect(lines[4].taskId).toBe(lines[0].taskId);
    expect(rig.server.stored(taskRequests)).toHaveLength(1);
  });

  test("accepts a JSON array, also one that is cut off", async () => {
    const { rig } = await open({ withTasks: false });
    const text = JSON.stringify(
      [aTask(), 7, aTask({ metadata: { text: 'a "],[" and a \\ in a string' } })],
      null,
      2,
    );
    expect(linesOf((await bulk(rig, text, "application/json")).payload)).toMatchObject([
      { index: 0, taskId: expect.any(String) },
      { index: 1, error: { code: "invalid_request" } },
      { index: 2, taskId: expect.any(String) },
      { done: true, accepted: 2, refused: 1 },
    ]);
    const cut = linesOf((await bulk(rig, text.slice(0, -1), "application/json")).payload);
    expect(cut.at(-2).error.message).toContain("incomplete");
  });

  test("answers while it reads, and holds no more of the body than it can store", async () => {
    const { rig } = await open({ withTasks: false });
    await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const address = rig.app.server.address() as { port: number };
    const got: string[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      const request = httpRequest(
        { port: address.port, host: "127.0.0.1", path: "/api/tasks/bulk", method: "POST" },
        (response) => {
          response.setEncoding("utf8");
          response.on("data", (part: string) => got.push(part));
          response.on("end", resolve);
        },
      );
      request.on("error", reject);
      request.setHeader("content-type", "application/x-ndjson");
      const sendRequest = async () => {
        for (let n = 0; n < 200; n++) request.write(`${JSON.stringify(aTask({ to: `+155501${n}0` }))}\n`);
        await until(() => got.join("").includes('"index":100,'), {
          what: "results come before the body is over",
        });
        request.end(JSON.stringify(aTask()));
      };
      sendRequest().catch(reject);
    });
    await ended;
    const lines = linesOf(got.join(""));
    expect(lines.at(-1)).toEqual({ done: true, accepted: 201, refused: 0 });
    expect(lines.slice(0, -1).map(({ index }) => index)).toEqual(Array.from({ length: 201 }, (_, n) => n));
  });

  test("may arrive more slowly than other requests, and is dropped when its client is gone", async () => {
    const { rig } = await open({ withTasks: false, env: { GREENROOM_REQUEST_TIMEOUT_MS: "300" } });
    await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = rig.app.server.address() as { port: number };
    let text = "";
    // Each request has a connection of its own, so that the second can't be given the first one's idle socket.
    const options = { port, host: "127.0.0.1", path: "/api/tasks/bulk", method: "POST", agent: false };
    const ended = new Promise<void>((resolve, reject) => {
      const request = httpRequest(options, (response) => {
        response.on("data", (part) => {
          text += part;
        });
        response.on("end", resolve);
      });
      request.on("error", reject);
      request.setHeader("content-type", "application/x-ndjson");
      request.write(`${JSON.stringify(aTask())}\n`);
      setTimeout(() => request.end(JSON.stringify(aTask())), 1000);
    });
    await ended;
    expect(linesOf(text).at(-1)).toEqual({ done: true, accepted: 2, refused: 0 });

    await until(() => rig.openSockets().length === 0, { what: "the first connection is closed" });
    const leaving = httpRequest(options);
    leaving.on("error", () => {});
    leaving.write(`${JSON.stringify(aTask())}\n`);
    await until(() => rig.openSockets().length > 0, { what: "the client is connected" });
    leaving.destroy();
    await until(() => rig.openSockets().length === 0, { what: "the client is disconnected" });
  });

  test("stops at 10,000 tasks and at its limit of bytes, and reports it in the last line", async () => {
    const { rig } = await open({ withTasks: false, env: { GREENROOM_BULK_LIMIT_BYTES: "2000000" } });
    const answer = linesOf((await bulk(rig, "7\n".repeat(10_001))).payload);
    expect(answer).toHaveLength(10_001);
    expect(answer.at(-1)).toMatchObject({
      done: false,
      refused: 10_000,
      error: { code: "payload_too_large" },
    });
    const ample = JSON.stringify(aTask({ metadata: { text: "x".repeat(4000) } }));
    const large = linesOf((await bulk(rig, `${ample}\n`.repeat(600))).payload);
    expect(large.at(-1)).toMatchObject({ done: false, error: { code: "payload_too_large" } });
  });

  test("refuses the rest at once when the store is unavailable", async () => {
    const { rig } = await open({ withTasks: false });
    rig.server.setFaults({ full: true });
    const answer = linesOf((await bulk(rig, `${JSON.stringify(aTask())}\n`.repeat(500))).payload);
    expect(answer.at(-1)).toEqual({ done: true, accepted: 0, refused: 500 });
    expect(answer[499].error).toMatchObject({ code: "storage_full", retryable: true });
  });
});

test("requests sessions on behalf of tasks, with their call", async () => {
  const { rig } = await open();
  const { taskId } = (await rig.post("/api/tasks", aTask())).body;
  await become(rig, taskId, "inProgress");
  const requested = rig.server.stored(sessionEvents).map(({ message }) => message)[0];
  expect(requested).toMatchObject({ sessionId: `${taskId}-1`, call: { to: "+15550100", task: taskId } });
});
