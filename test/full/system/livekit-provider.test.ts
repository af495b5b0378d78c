// The provider `livekit`: real providers services dispatch LiveKit's own workers, which fail in different ways.
import { join } from "node:path";
import { AgentDispatchClient } from "livekit-server-sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Entry, Stop } from "../../../libs/bus/bus.ts";
import { launches } from "../../../libs/contracts/buckets.ts";
import { attemptKey, DEFAULT_TENANT } from "../../../libs/contracts/ids.ts";
import { type LaunchRecord, providerHostOf } from "../../../libs/contracts/providers/provider.ts";
import { assignCommand } from "../../../libs/contracts/streams.ts";
import { metadataOf } from "../../../services/providers/drivers/livekit.ts";
import { LiveKitWorker } from "../../kit/servers/livekit-workers.ts";
import { lifeOf, openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

const AGENT = join(import.meta.dirname, "../../agents/livekit-worker-agent.ts");
const NAME = "support-agent";
const PARALLEL = 10;
const POLL_MS = 1000;
/** The time for a worker to start ten job processes one after the other. */
const WORKER_MS = 240_000;

let scene: Scene;
const workers: LiveKitWorker[] = [];
const cleanUps: (() => unknown)[] = [];

beforeAll(async () => {
  // A profile of a provider needs no agent-host.
  scene = await openScene({
    agents: [],
    hosts: 0,
    providers: 2,
    shape: "roles",
    env: {
      GREENROOM_PROVIDERS: `support=livekit:${NAME}, nobody=livekit`,
      GREENROOM_PROVIDER_POLL_MS: String(POLL_MS),
      GREENROOM_QUEUE_DEADLINE_MS: "12000",
      GREENROOM_USER_REJOIN_GRACE_MS: "600000",
      // A worker starts its job processes one after the other, and each takes seconds on a busy machine.
      GREENROOM_COLD_START_GRACE_MS: "100000",
    },
  });
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  const listed = (await scene.stack.get("/api/sessions?limit=200")).body.sessions as Json[];
  for (const session of listed) if (session.state !== "ended") await scene.end(session.sessionId);
});

afterAll(async () => {
  for (const worker of workers) await worker.kill9();
  await scene?.stop();
});

async function startWorker(): Promise<LiveKitWorker> {
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("This stack has no LiveKit");
  const worker = await LiveKitWorker.start(livekit, AGENT, NAME);
  workers.push(worker);
  return worker;
}

const launchOf = (sessionId: string, attempt: number): Promise<Entry<LaunchRecord> | undefined> =>
  scene.bus.kv.get(launches, attemptKey({ tenant: DEFAULT_TENANT, sessionId, attempt }));

const agentsIn = async (room: string): Promise<string[]> =>
  (await scene.rooms.participants(room)).filter(({ isAgent }) => isAgent).map(({ identity }) => identity);

/** Waits until the session is ready or ended, and returns it. */
const readyOrEnded = (id: string): Promise<Json> =>
  until(
    async () => {
      const session = await scene.session(id);
      return session.status === "starting" ? undefined : session;
    },
    { timeoutMs: WORKER_MS - 20_000, everyMs: 100, what: `session ${id} is ready or ended` },
  );

const workerIn = (room: string): LiveKitWorker | undefined =>
  workers.find((worker) => worker.text().includes(`in ${room} with`));

describe("a session of LiveKit's workers", () => {
  test("is retried without a worker, and ends with a reason", async () => {
    const answer = await scene.ask({ profile: "nobody", wait: 0 });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ provider: "livekit", status: "starting" });
    const roomOf = async () => {
      const { room } = await scene.session(answer.body.sessionId);
      return (await scene.rooms.list()).find(({ name }) => name === room);
    };
    await until(roomOf, { timeoutMs: PATIENCE_MS, everyMs: 50, what: "the room is created" });
    const session = await scene.ended(answer.body.sessionId);
    expect(session).toMatchObject({ endedReason: "no_capacity", fault: "platform", failures: 0 });
    expect(session.attempt).toBeGreaterThan(1);
    const reasons = session.history.map(({ reason }: Json) => reason ?? "");
    expect(reasons).toContainEqual(
      expect.stringMatching(/^LiveKit listed no worker for the dispatch for \d/),
    );
    expect(reasons.at(-1)).toMatch(/^no agent of nobody was free for .*; before: LiveKit listed no worker/);
    await until(async () => (await roomOf()) === undefined, {
      timeoutMs: PATIENCE_MS,
      what: "LiveKit has deleted the room",
    });
    expect((await scene.health()).profiles.nobody).toMatchObject({ status: "failed" });
  });

  test("becomes ready by the worker's agent state, and leaves nothing behind at its end", async () => {
    const worker = await startWorker();
    expect((await scene.health()).profiles.support).toMatchObject({ status: "unknown" });
    const started = await scene.start({ profile: "support", metadata: { topic: "billing" }, userId: "ann" });
    expect((await scene.health()).profiles.support).toMatchObject({ status: "running" });
    expect(started).toMatchObject({ provider: "livekit", prewarmed: false, warm: "cold" });
    const [agent] = (await scene.rooms.participants(started.room)).filter(({ isAgent }) => isAgent);
    expect(agent?.attributes?.["lk.agent.state"]).toBe("listening");
    const session = await scene.session(started.sessionId);
    expect(session).toMatchObject({ host: "provider-livekit", provider: "livekit", failures: 0 });
    expect(session.timings.readyMs).toBeGreaterThan(0);
    await until(() => worker.text().includes('with {"topic":"billing","greenroom":{'), {
      timeoutMs: PATIENCE_MS,
      what: () => `the job prints its metadata; output of the worker: ${worker.text()}`,
    });
    expect(worker.text()).toContain('"user":{"id":"ann"');

    await scene.end(started.sessionId);
    const { attempt } = session;
    await until(async () => (await launchOf(started.sessionId, attempt))?.value.state === "over", {
      timeoutMs: PATIENCE_MS,
      what: "the launch is over",
    });
    await until(async () => !(await scene.rooms.list()).some(({ name }) => name === started.room), {
      timeoutMs: PATIENCE_MS,
      what: "the room is gone",
    });
    await until(() => worker.text().includes("the job is over"), {
      timeoutMs: PATIENCE_MS,
      what: () => `the job ended; output of the worker: ${worker.text()}`,
    });
  });

  test("asks again at once when a worker's job dies before its agent joins", async () => {
    const started = await scene.start({ profile: "support", metadata: { diesEarly: true } });
    const session = await scene.session(started.sessionId);
    expect(session).toMatchObject({ state: "ready", failures: 0 });
    expect(session.attempt).toBeGreaterThan(1);
    // LiveKit may list a job only after 5 s. Until then the job of a dead process looks like one that nobody took.
    const [, , repeated] = session.history;
    expect(repeated).toMatchObject({ state: "requested", attempt: 2 });
    expect(repeated.reason).toMatch(
      /^(a worker took the job, and its agent did not join|LiveKit listed no worker .*) for \d/,
    );
    await scene.end(started.sessionId);
  });

  test("ends when its user hangs up, without the time for a return", async () => {
    const started = await scene.start({ profile: "support" });
    const visitor = await visit(started);
    await until(() => visitor.others().some(({ identity }) => identity.startsWith("agent-")), {
      timeoutMs: PATIENCE_MS,
      what: "the visitor sees the agent",
    });
    // The providers service has to see both of them together.
    await new Promise((resolve) => setTimeout(resolve, 2 * POLL_MS));
    await visitor.leave();
    const session = await scene.ended(started.sessionId);
    expect(session).toMatchObject({ endedReason: "completed", fault: "none", failures: 0 });
    expect(session.history.at(-1).reason).toBe("user left");
  });

  test("ends as completed when the agent leaves, without another attempt", async () => {
    const started = await scene.start({ profile: "support", metadata: { leavesAfterMs: 500 } });
    const session = await scene.ended(started.sessionId);
    expect(session).toMatchObject({ endedReason: "completed", fault: "none", attempt: started.attempt });
    expect(session.history.at(-1).reason).toBe("the agent left the room by itself");
  });

  test(
    "becomes ready or ends with a reason, with at most one agent, when ten start at once",
    async () => {
      await startWorker();
      const answers = await Promise.all(
        Array.from({ length: PARALLEL }, () => scene.ask({ profile: "support", wait: 0 })),
      );
      expect(answers.map(({ status }) => status)).toEqual(Array(PARALLEL).fill(202));
      const sessions = await Promise.all(answers.map(({ body }) => readyOrEnded(body.sessionId)));
      const ready = sessions.filter(({ state }) => state === "ready");
      const failed = sessions.filter(({ state }) => state === "ended");
      for (const session of failed) expect(session.endedReason, JSON.stringify(session)).toBeDefined();
      expect(ready.length + failed.length).toBe(PARALLEL);
      expect(ready.length, JSON.stringify(failed)).toBeGreaterThan(0);
      for (const { room, sessionId } of ready) {
        // A worker keeps the job of a deleted dispatch. Its agent is removed when LiveKit reports that it has joined.
        const agents = await until(
          async () => {
            const present = await agentsIn(room);
            return present.length > 1 ? undefined : present;
          },
          { timeoutMs: PATIENCE_MS, what: `at most one agent is in ${room}` },
        );
        // An agent of a busy worker may leave while the other sessions start. Its session ends with that.
        if (agents.length === 0) expect((await scene.ended(sessionId)).endedReason, room).toBeDefined();
      }
    },
    WORKER_MS,
  );

  test(
    "continues with another worker in the same room after its worker and then its providers service are killed",
    async () => {
      const started = await scene.start({ profile: "support" });
      const visitor = await visit(started);
      cleanUps.push(() => visitor.leave());
      const before = await scene.session(started.sessionId);
      const [dead] = await agentsIn(started.room);
      const serving = await until(() => workerIn(started.room), {
        timeoutMs: PATIENCE_MS,
        what: "a worker prints that it serves the room",
      });

      await serving.kill9();
      const after = await scene.sessionWhen(
        started.sessionId,
        ({ state, attempt }) => state === "ready" && attempt > before.attempt,
        "is ready with another agent",
      );
      expect(after).toMatchObject({ room: started.room, failures: before.failures + 1 });
      expect(after.history.map(({ reason }: Json) => reason ?? "")).toContainEqual(
        expect.stringContaining(`the agent ${dead} `),
      );
      const identity = (await scene.revisions(started.sessionId)).at(-1)?.identity ?? "nobody";
      await until(async () => (await agentsIn(started.room)).join() === identity, {
        timeoutMs: PATIENCE_MS,
        what: "only the new agent is in the room",
      });
      expect(visitor.isOut()).toBe(false);

      const launch = async () => (await launchOf(started.sessionId, after.attempt))?.value;
      const by = (await launch())?.by ?? "nobody";
      const owner = scene.stack.children.find((child) => child.text().includes(`"instance":"${by}"`));
      expect(owner, by).toBeDefined();
      await owner?.kill9();
      await until(async () => (await launch())?.by !== by, {
        timeoutMs: PATIENCE_MS,
        what: "another instance takes the launch over",
      });
      expect(await launch()).toMatchObject({ takeovers: 1, state: "ready" });
      expect(await scene.session(started.sessionId)).toMatchObject({
        state: "ready",
        attempt: after.attempt,
      });
      expect(await agentsIn(started.room)).toEqual([identity]);
      await scene.stack.spawnService("providers");
    },
    WORKER_MS,
  );

  test(
    "is dispatched once, whether a dead instance had asked LiveKit or not",
    async () => {
      // The instances stop, and the test simulates one that dies right after it saves the intent.
      for (const child of scene.stack.children)
        if (child.service === "providers" && !child.hasEnded) await child.stop(15_000);
      const intended: string[] = [];
      const stopServing = await dyingProviders(intended);
      const [notDispatched, dispatched] = await Promise.all(
        [{ dies: "before" }, { dies: "after" }].map((metadata) =>
          scene.ask({ profile: "support", metadata, wait: 0 }),
        ),
      );
      await until(() => intended.length === 2, { timeoutMs: PATIENCE_MS, what: "both intents are stored" });
      await stopServing();
      const jobsOf = (id: string) =>
        workers.reduce((sum, worker) => sum + worker.text().split(`in session-${id} with`).length - 1, 0);

      await scene.stack.spawnService("providers");
      for (const answer of [notDispatched, dispatched]) {
        const id: string = answer?.body.sessionId;
        const session = await readyOrEnded(id);
        expect(session, JSON.stringify(session.history)).toMatchObject({ state: "ready", failures: 0 });
        expect(lifeOf(session).at(-1)).toBe(`ready ${session.attempt}`);
        expect((await launchOf(id, session.attempt))?.value).toMatchObject({ takeovers: 1 });
        expect(await agentsIn(session.room)).toHaveLength(1);
        await until(() => jobsOf(id) > 0, {
          timeoutMs: PATIENCE_MS,
          what: `a worker prints the job of ${id}`,
        });
        expect(jobsOf(id), `jobs of ${id}`).toBe(1);
      }
    },
    WORKER_MS,
  );
});

/** Saves intents like an instance that died since. With `dies: "after"` the instance had asked LiveKit too. */
async function dyingProviders(intended: string[]): Promise<Stop> {
  const { livekit } = scene.stack;
  if (livekit === undefined) throw new Error("This stack has no LiveKit");
  const api = livekit.url.replace(/^ws/, "http");
  const client = new AgentDispatchClient(api, livekit.apiKey, livekit.apiSecret);
  return await scene.bus.core.serve(assignCommand, providerHostOf("livekit"), async (assign) => {
    const { tenant, sessionId, attempt, profile, room = "", metadata, user, recovering } = assign;
    const intent: LaunchRecord = {
      v: 1,
      tenant,
      sessionId,
      attempt,
      provider: "livekit",
      profile,
      room,
      state: "intended",
      by: "providers-that-died",
      takeovers: 0,
      at: new Date().toISOString(),
      writeId: `dead:${sessionId}`,
    };
    if ((await scene.bus.kv.update(launches, intent, 0)) === undefined) return { verdict: "accepted" };
    if (metadata.dies === "after") {
      const order = { tenant, sessionId, attempt, profile, room, metadata, user, recovering };
      await client.createDispatch(room, NAME, { metadata: metadataOf(order) });
    }
    intended.push(sessionId);
    return { verdict: "accepted" };
  });
}
