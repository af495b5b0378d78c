// A nearly full store refuses new sessions, but accepts everything that running ones need.
import { connect, type NatsConnection } from "nats";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
let nats: NatsConnection;
beforeAll(async () => {
  scene = await openScene({ agents: ["quick"], mock: true });
  nats = await connect({ servers: scene.stack.natsUrl });
  await scene.pool("quick", { idle: 3 });
});
afterAll(async () => {
  await nats?.close();
  await scene?.stop();
});

const BALLAST_BYTES = 1_500_000;

async function streams() {
  return (await nats.jetstreamManager()).streams;
}

/** Restores the limits, also after a failed test. */
const restores: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const restore of restores.splice(0)) await restore();
});

/** Lowers the limit of a stream so that it is full to this part. @returns the function that restores the limit */
async function fillTo(stream: string, part: number): Promise<() => Promise<unknown>> {
  const { config, state } = await (await streams()).info(stream);
  await (await streams()).update(stream, { max_bytes: Math.ceil(state.bytes / part) });
  const restore = async () => (await streams()).update(stream, { max_bytes: config.max_bytes });
  restores.push(restore);
  return restore;
}

/** Publishes large events about an ended session, which change nothing. */
async function ballastInStream(sessionId: string): Promise<void> {
  const reason = "x".repeat(200_000);
  for (let bytes = 0; bytes < BALLAST_BYTES; bytes += reason.length) {
    const at = new Date().toISOString();
    const event = { type: "agent_lost", tenant: "default", sessionId, attempt: 1, at, reason };
    await nats.jetstream().publish(`session.default.${sessionId}.agent_lost`, JSON.stringify(event));
  }
}

/** Stores large records of ended sessions. */
async function ballastInBucket(ended: SessionRecord): Promise<void> {
  const history = ended.history.map((entry) => ({ ...entry, reason: "x".repeat(3000) }));
  for (let n = 0; n * 12_000 < BALLAST_BYTES; n++) {
    const record = { ...ended, sessionId: `ballast-${n}`, history };
    await nats.jetstream().publish(`$KV.sessions.default.ballast-${n}`, JSON.stringify(record));
  }
}

const refused = () =>
  until(
    async () => {
      const answer = await scene.ask({ profile: "quick" });
      if (answer.status === 503) return answer;
      await scene.end(answer.body.sessionId);
      return false;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 250, what: "a start is refused" },
  );

const accepted = () =>
  until(async () => (await scene.ask({ profile: "quick", wait: 20_000 })).status === 200, {
    timeoutMs: PATIENCE_MS,
    everyMs: 250,
    what: "a start is accepted again",
  });

describe("a nearly full store", () => {
  test.each([
    ["the stream of events", "SESSIONS"],
    ["the bucket of records", "KV_sessions"],
  ])(
    "refuses starts with 503, while running sessions recover, become ready and end (%s)",
    async (_what, stream) => {
      const [running, other] = [
        await scene.start({ profile: "quick" }),
        await scene.start({ profile: "quick" }),
      ];
      const over = await scene.start({ profile: "quick" });
      await scene.end(over.sessionId);
      if (stream === "SESSIONS") await ballastInStream(over.sessionId);
      else await ballastInBucket((await scene.revisions(over.sessionId)).at(-1)!);
      const restore = await fillTo(stream, 0.92);

      const { body, headers } = await refused();
      expect(body.error).toMatchObject({ code: "storage_full", retryable: true });
      expect(body.error.message).toMatch(/The store is 9\d % full/);
      expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);

      process.kill((await scene.slotOf(running.sessionId))?.agentProcess.pid, "SIGKILL");
      await scene.sessionWhen(
        running.sessionId,
        // On a busy machine the next agent may be lost as well.
        ({ state, attempt }) => state === "ready" && attempt > 1,
        "is ready again",
      );
      expect((await scene.end(running.sessionId)).endedReason).toBe("completed");
      expect((await scene.end(other.sessionId)).endedReason).toBe("completed");
      expect((await scene.ask({ profile: "quick" })).status).toBe(503);

      await restore();
      await accepted();
      expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
    },
  );

  test("answers storage_full when the stream is full, while running sessions continue", async () => {
    const running = await scene.start({ profile: "quick" });
    const restore = await fillTo("SESSIONS", 1);
    const { body } = await refused();
    expect(body.error.code).toBe("storage_full");
    const refusedEnd = await scene.stack.post(`/api/session/${running.sessionId}/end`);
    expect(refusedEnd.body.error).toMatchObject({ code: "storage_full", retryable: true });
    expect(await scene.session(running.sessionId)).toMatchObject({ state: "ready", attempt: 1 });
    await restore();
    expect((await scene.end(running.sessionId)).endedReason).toBe("completed");
    await accepted();
  });
});
