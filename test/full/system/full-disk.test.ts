// A full disk under nats-server: starts are refused, and the call continues. Space and a restart repair everything.
import { afterEach, describe, expect, test } from "vitest";
import { processIdentity } from "../../../cli/supervisor/processes.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { whyNoLoopDisk } from "../../kit/servers/loop-disk.ts";
import { startNats } from "../../kit/servers/servers.ts";
import { type Listener, listenIn } from "../../kit/stack/listener.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Answer, Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";
import { makeSmallDisk } from "../chaos/full-disk.ts";

const problem = await whyNoLoopDisk();
if (problem !== undefined)
  console.warn(`The full-disk test is skipped: ${problem}. Run it as root on Linux.`);

const DISK_MB = 64;
/** The longest `wait` of a start, and so the longest time for a refusal. */
const LONGEST_START_MS = 30_000;
/** Longer than all waits of the test, so that the failing wait is reported. */
const TEST_MS = 300_000;

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

describe("a full disk under NATS", () => {
  test.skipIf(problem !== undefined)(
    "refuses starts while the call continues, and is repaired by space and a restart",
    async () => {
      const disk = await makeSmallDisk(DISK_MB);
      cleanUps.unshift(() => disk.remove());
      const nats = await startNats({ dir: disk.dir, syncInterval: "always" });
      cleanUps.unshift(() => nats.stop());
      const scene = await openScene({ agents: ["tone"], nats });
      cleanUps.unshift(() => scene.stop());
      // Stopping services write to NATS, and would wait for a full disk.
      cleanUps.unshift(() => disk.free());
      await scene.pool("tone", { idle: 4 });
      const { sessionId: id, ...join } = await scene.start({ profile: "tone" });
      const listener = await listenIn(join);
      cleanUps.unshift(() => listener.leave());
      await expectAudible(scene, id, listener);
      const { pid } = (await scene.slotOf(id))?.agentProcess ?? {};
      const life = processIdentity(pid);

      disk.fill();
      const accepted = await startsUntilRefused(scene);
      const end = await scene.stack.post(`/api/session/${id}/end`);
      expectRefusal(end);
      expect(await scene.health()).toMatchObject({
        status: "unhealthy",
        services: { nats: { status: "failed", reason: end.body.error.message } },
      });
      await expectAudible(scene, id, listener);
      expect(processIdentity(pid)).toBe(life);
      expect(listener.isOut()).toBe(false);
      expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);

      // The operator frees space and restarts nats-server, which accepts no writes before.
      disk.free();
      await nats.restart();
      const next = await scene.start({ profile: "tone" });
      await until(async () => (await scene.health()).status === "healthy", {
        timeoutMs: PATIENCE_MS,
        what: "everything is healthy",
      });
      expect((await scene.health()).services.nats).toMatchObject({ status: "running" });
      await expectAudible(scene, id, listener);
      // Acknowledged sessions are stored, and are served now.
      for (const sessionId of accepted)
        await scene.sessionWhen(sessionId, ({ state }) => state === "ready", "is ready");
      expect(processIdentity(pid)).toBe(life);
      expect(await scene.end(next.sessionId)).toMatchObject({ endedReason: "completed" });
      await listener.leave();
      expect(await scene.ended(id)).toMatchObject({ endedReason: "completed", attempt: 1, failures: 0 });
      await expectNothingLeft(scene);
      expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
    },
    TEST_MS,
  );
});

/** Expects that the first agent still serves, and that its user hears it. */
async function expectAudible(scene: Scene, id: string, listener: Listener): Promise<void> {
  const fromMs = performance.now();
  const agent = `agent-${id}-1`;
  await until(() => listener.sounds.some(({ from, atMs }) => from === agent && atMs > fromMs), {
    timeoutMs: PATIENCE_MS,
    what: () => `the user hears ${agent}; present: ${listener.others().join(", ") || "nobody"}`,
  });
  expect(await scene.session(id)).toMatchObject({ state: "ready", attempt: 1, recovering: false });
}

/**
 * Starts sessions until one is refused. The rest of the store's last block still takes a few.
 * @returns the accepted sessions
 */
async function startsUntilRefused(scene: Scene): Promise<string[]> {
  const accepted: string[] = [];
  return await until(
    async () => {
      const fromMs = performance.now();
      const answer = await scene.ask({ profile: "tone", wait: 0 });
      expect(performance.now() - fromMs).toBeLessThan(LONGEST_START_MS);
      if (answer.status >= 300) {
        expectRefusal(answer);
        return accepted;
      }
      accepted.push(answer.body.sessionId);
      return undefined;
    },
    { timeoutMs: PATIENCE_MS, what: "a start is refused" },
  );
}

/** Expects a 503 whose message names the cause and the remedy. */
function expectRefusal({ status, body }: Answer): void {
  expect(status, JSON.stringify(body)).toBe(503);
  const { code, retryable, message }: Json = body.error;
  expect(retryable).toBe(true);
  expect(["storage_full", "storage_unavailable"]).toContain(code);
  expect(message).toMatch(/\/healthz shows .*disk.* restart/);
}
