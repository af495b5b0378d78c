// The disk under nats-server is full: starts are refused, the call goes on, and with room and a restart all is well.
import { afterEach, expect, test } from "vitest";
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
  console.warn(`The test of a full disk can't run: ${problem}. Run it as root on Linux.`);

const DISK_MB = 64;
/** The longest that a client may be told to wait for a start: no refusal takes longer. */
const LONGEST_START_MS = 30_000;
/** Longer than all that is waited for in it, so that what is missing can be said. */
const TEST_MS = 300_000;

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

test.skipIf(problem !== undefined)(
  "with its disk full NATS takes no start, the call goes on, and after a restart with room all goes on",
  async () => {
    const disk = await makeSmallDisk(DISK_MB);
    cleanUps.unshift(() => disk.remove());
    const nats = await startNats({ dir: disk.dir, syncInterval: "always" });
    cleanUps.unshift(() => nats.stop());
    const scene = await openScene({ agents: ["tone"], nats });
    cleanUps.unshift(() => scene.stop());
    // Services that are ended write their last words, which a full disk would keep them waiting for.
    cleanUps.unshift(() => disk.free());
    await scene.pool("tone", { idle: 4 });
    const { sessionId: id, ...join } = await scene.start({ profile: "tone" });
    const listener = await listenIn(join);
    cleanUps.unshift(() => listener.leave());
    await goesOn(scene, id, listener);
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
    await goesOn(scene, id, listener);
    expect(processIdentity(pid)).toBe(life);
    expect(listener.isOut()).toBe(false);
    expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);

    // The operator's two steps: room, and a restart, without which nats-server takes no more writes.
    disk.free();
    await nats.restart();
    const next = await scene.start({ profile: "tone" });
    expect(await scene.health()).toMatchObject({
      status: "healthy",
      services: { nats: { status: "running" } },
    });
    await goesOn(scene, id, listener);
    // What was acknowledged is there, and is served now.
    for (const sessionId of accepted)
      await scene.sessionWhen(sessionId, ({ state }) => state === "ready", "is ready, as it was accepted");
    expect(processIdentity(pid)).toBe(life);
    expect(await scene.end(next.sessionId)).toMatchObject({ endedReason: "completed" });
    await listener.leave();
    expect(await scene.ended(id)).toMatchObject({ endedReason: "completed", attempt: 1, failures: 0 });
    await expectNothingLeft(scene);
    expect(scene.stack.children.filter(({ hasEnded }) => hasEnded)).toEqual([]);
  },
  TEST_MS,
);

/** The record says that the first agent serves, and its user still hears it. */
async function goesOn(scene: Scene, id: string, listener: Listener): Promise<void> {
  const fromMs = performance.now();
  const agent = `agent-${id}-1`;
  await until(() => listener.sounds.some(({ from, atMs }) => from === agent && atMs > fromMs), {
    timeoutMs: PATIENCE_MS,
    what: () => `${agent} is heard by its user, who sees ${listener.others().join(", ") || "nobody"}`,
  });
  expect(await scene.session(id)).toMatchObject({ state: "ready", attempt: 1, recovering: false });
}

/**
 * Starts until one is refused: what is left of a block of the store still takes a few.
 * @returns the sessions that were accepted
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

/** 503, in words from which a person sees where to look and what to do. */
function expectRefusal({ status, body }: Answer): void {
  expect(status, JSON.stringify(body)).toBe(503);
  const { code, retryable, message }: Json = body.error;
  expect(retryable).toBe(true);
  expect(["storage_full", "storage_unavailable"]).toContain(code);
  expect(message).toMatch(/\/healthz says .*disk.* restart/);
}
