// Tasks on real servers and processes: completed, canceled, across restarts, and a thousand at once.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_TENANT } from "../../libs/contracts/ids.ts";
import { taskRequests } from "../../libs/contracts/streams.ts";
import { taskIdOfKey } from "../../libs/domain/task/task-ids.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { startTool } from "../kit/stack/run-tool.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import type { Json } from "../kit/stack/stack.ts";
import { visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  scene = await openScene({
    agents: ["visited"],
    // Its test kills the tasks service and the dispatcher one after the other.
    shape: "roles",
    tasks: 1,
    env: { GREENROOM_TASK_PROVIDER: "pool", GREENROOM_TASKS_PER_TENANT: "2", GREENROOM_TASK_RATE: "20" },
  });
  await scene.pool("visited", { idle: 2 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

const ask = async (more: object = {}): Promise<string> => {
  const answer = await scene.stack.post("/api/tasks", { to: "+15550100", profile: "visited", ...more });
  expect(answer.status, JSON.stringify(answer.body)).toBe(202);
  return answer.body.taskId;
};

const taskWhen = async (id: string, state: string): Promise<Json> => {
  let seen: Json;
  return await until(
    async () => {
      seen = (await scene.stack.get(`/api/tasks/${id}`)).body;
      return seen.state === state ? seen : undefined;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 50,
      what: () => `task ${id} is ${state}; it is ${JSON.stringify(seen)}`,
    },
  );
};

/** Joins the room as the callee, instead of by telephone, and leaves. */
async function pickUpAndLeave(sessionId: string): Promise<void> {
  const { body } = await scene.stack.post("/api/token", { sessionId, userName: "Callee" });
  const callee = await visit(body);
  // The callee leaves only after the agent has noticed it. A callee who leaves earlier was never present for the agent.
  await scene.logged(sessionId, "(Callee) came");
  await callee.leave();
}

describe("a task", () => {
  test("is completed when its callee leaves, and lists each state of its attempt", async () => {
    const id = await ask({ metadata: { order: 7 } });
    const running = await taskWhen(id, "inProgress");
    const [{ sessionId }] = running.attempts;
    expect(sessionId).toBe(`${id}-1`);
    expect((await scene.job(sessionId)).metadata).toMatchObject({ order: 7 });
    await pickUpAndLeave(sessionId);
    const done = await taskWhen(id, "completed");
    expect(done.attempts).toHaveLength(1);
    expect(done.attempts[0].states.map(({ state }: Json) => state)).toEqual([
      "dialing",
      "inProgress",
      "completed",
    ]);
  });

  /** Waits until exactly these tasks are listed as active. The list follows the tasks' records. */
  async function expectActive(ids: readonly (string | undefined)[]): Promise<void> {
    let listed: string[] = [];
    await until(
      async () => {
        const { body } = await scene.stack.get("/api/tasks?state=active");
        listed = body.tasks.map(({ taskId }: Json) => taskId).sort();
        return listed.join() === [...ids].sort().join();
      },
      { timeoutMs: PATIENCE_MS, what: () => `${ids} are active; listed: ${listed}` },
    );
  }

  test("survives the death of the tasks service, the gateway, NATS and the dispatcher, and is called once", async () => {
    const { stack } = scene;
    const ids = [await ask(), await ask(), await ask(), await ask()];
    await taskWhen(ids[0]!, "inProgress");
    await taskWhen(ids[1]!, "inProgress");
    await stack.child("tasks-1").kill9();
    await scene.end(`${ids[0]}-1`);
    await stack.child("gateway-1").stop(15_000);
    await stack.spawnService("gateway", { GREENROOM_PORT: new URL(stack.url).port });
    // The session ended while no tasks service ran. The two new ones learn its end.
    await Promise.all([stack.spawnService("tasks"), stack.spawnService("tasks")]);
    await taskWhen(ids[0]!, "completed");
    await taskWhen(ids[2]!, "inProgress");
    await expectActive([ids[1], ids[2]]);
    // Next NATS, which stores everything, and the dispatcher die.
    await Promise.all([stack.nats.kill9(), stack.child("dispatcher-1").kill9()]);
    await stack.nats.restart();
    await stack.spawnService("dispatcher");
    await until(async () => (await stack.get("/readyz")).status === 200 && scene.bus.isConnected(), {
      timeoutMs: PATIENCE_MS,
      what: "NATS is back for the gateway and for the test",
    });
    await expectActive([ids[1], ids[2]]);
    await scene.end(`${ids[1]}-1`);
    await taskWhen(ids[3]!, "inProgress");
    for (const id of ids.slice(2)) await scene.end(`${id}-1`);
    for (const id of ids) expect((await taskWhen(id, "completed")).attempts).toHaveLength(1);
  });

  test("is canceled together with its session, and starts again on a retry request", async () => {
    const id = await ask();
    await taskWhen(id, "inProgress");
    const canceled = await scene.stack.post(`/api/tasks/${id}/cancel`);
    expect(canceled.body, JSON.stringify(canceled)).toMatchObject({ success: true });
    await taskWhen(id, "canceled");
    expect(await scene.ended(`${id}-1`)).toMatchObject({ endedReason: "completed" });
    expect((await scene.stack.post(`/api/tasks/${id}/retry`)).status).toBe(202);
    const again = await taskWhen(id, "inProgress");
    expect(again).toMatchObject({ attempt: 2, life: 2 });
    await scene.end(`${id}-2`);
    await taskWhen(id, "completed");
  });

  test("is created by a message on the tasks subject", async () => {
    const idempotencyKey = "by message";
    await scene.bus.streams.publish(taskRequests, {
      tenant: DEFAULT_TENANT,
      to: "sales",
      profile: "visited",
      idempotencyKey,
    });
    const id = taskIdOfKey(DEFAULT_TENANT, idempotencyKey);
    await taskWhen(id, "inProgress");
    await scene.end(`${id}-1`);
    await taskWhen(id, "completed");
  });

  test("bypasses the queue in direct mode, and prints each step", async () => {
    const args = ["--direct", "--to", "1001", "--profile", "visited", "--provider", "pool"];
    const running = startTool("cli/task/main.ts", args, { NATS_URL: scene.stack.natsUrl });
    const sessionId = await until(
      async () => running.output().match(/requested session (direct_\w+) with/)?.[1],
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 100,
        what: () => `the output contains the session: ${running.output()}`,
      },
    );
    await scene.sessionWhen(sessionId, ({ state }) => state === "ready", "is ready");
    await pickUpAndLeave(sessionId);
    const { exitCode, text, errors } = await running.ended;
    expect(exitCode, errors).toBe(0);
    expect(text).toMatch(/session: dispatched, attempt 1 on .+\n.*session: joined, .+\n.*session: ready, /s);
    expect(text).toContain("session: ended as completed, fault: none");
  });

  test("is created once for each of a thousand lines of a bulk request, and listed", async () => {
    const scheduleAt = new Date(Date.now() + 3_600_000).toISOString();
    const requests = Array.from({ length: 1000 }, (_, n) => ({
      to: `+1555${String(n).padStart(6, "0")}`,
      profile: "visited",
      scheduleAt,
      idempotencyKey: `bulk ${n}`,
    }));
    const linesOf = async () => {
      const { status, body } = await scene.stack.post("/api/tasks/bulk", requests);
      expect(status).toBe(200);
      return (body as string)
        .trim()
        .split("\n")
        .map((line): Json => JSON.parse(line));
    };
    const lines = await linesOf();
    expect(lines.at(-1)).toEqual({ done: true, accepted: 1000, refused: 0 });
    const ids = lines.slice(0, -1).map(({ taskId }) => taskId as string);
    expect(new Set(ids).size).toBe(1000);
    const again = await linesOf();
    expect(again.slice(0, -1).every(({ taskId, replayed }, n) => taskId === ids[n] && replayed)).toBe(true);
    let missing = ids;
    await until(
      async () => {
        const listed = await listQueued();
        missing = ids.filter((id) => !listed.has(id));
        return missing.length === 0;
      },
      { timeoutMs: PATIENCE_MS, everyMs: 500, what: () => `all are listed; ${missing.length} are not` },
    );
  });

  async function listQueued(): Promise<Set<string>> {
    const listed = new Set<string>();
    for (let cursor = ""; ; ) {
      const { body } = await scene.stack.get(`/api/tasks?state=queued&limit=200${cursor}`);
      for (const { taskId } of body.tasks) listed.add(taskId);
      if (body.nextCursor === null) return listed;
      cursor = `&cursor=${body.nextCursor}`;
    }
  }
});
