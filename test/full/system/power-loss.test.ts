// Loss of power: sessions whose acceptance clients have seen are still there if NATS syncs each write.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { type LoopDisk, makeLoopDisk, whyNoLoopDisk } from "../../kit/servers/loop-disk.ts";
import { startNats } from "../../kit/servers/servers.ts";
import type { TestNats } from "../../kit/servers/test-nats.ts";
import { agentsDir, removeAgentsDirs } from "../../kit/stack/agents-dir.ts";
import { type Stack, startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const problem = await whyNoLoopDisk();
if (problem !== undefined)
  console.warn(`The power-loss test is skipped: ${problem}. Run it as root on Linux.`);

const DISK_MB = 256;
/** Concurrent clients that start sessions until the power cut. */
const CLIENTS = 8;
const ENOUGH = 150;
const ENV = {
  GREENROOM_MAX_QUEUE_LENGTH: "5000",
  GREENROOM_RATE_LIMIT: "0",
  GREENROOM_QUEUE_DEADLINE_MS: "600000",
};

const cleanUps: (() => Promise<unknown>)[] = [];
const later = <T>(thing: T, cleanUp: (thing: T) => Promise<unknown>): T => {
  cleanUps.push(() => cleanUp(thing));
  return thing;
};

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
afterAll(removeAgentsDirs);

describe("an accepted session", () => {
  test.skipIf(problem !== undefined)("survives a loss of power when NATS syncs each write", async () => {
    const { accepted, lost } = await losePower("always");
    expect(accepted.length).toBeGreaterThanOrEqual(ENOUGH);
    expect(lost).toEqual([]);
  });

  test.skipIf(problem !== undefined)(
    "is lost with the server's default sync interval, which shows that the test works",
    async () => {
      const { accepted, lost } = await losePower("2m");
      expect(accepted.length).toBeGreaterThanOrEqual(ENOUGH);
      expect(lost.length).toBeGreaterThan(0);
    },
  );
});

/** Returns the sessions that were accepted before the power cut, and those of them that are lost after it. */
async function losePower(syncInterval: string): Promise<{ accepted: string[]; lost: string[] }> {
  const disk = later(await makeLoopDisk(DISK_MB), (one) => one.remove());
  const nats = later(await startNats({ dir: disk.dir, syncInterval }), (one) => one.stop());
  const dir = agentsDir("quick");
  const stack = await startStack({ nats, mock: true, agentsDir: dir, env: ENV });
  let accepted: string[];
  let after: LoopDisk;
  try {
    ({ accepted, after } = await cutWhileBusy(stack, nats, disk));
  } finally {
    await nats.kill9();
    await stack.stop();
  }

  const again = later(await startNats({ dir: after.dir, syncInterval: "always" }), (one) => one.stop());
  const next = later(await startStack({ nats: again, mock: true, agentsDir: dir, env: ENV }), (one) =>
    one.stop(),
  );
  const missing: string[] = [];
  for (const id of accepted) if (!(await isKnownSoon(next, id, missing.length === 0))) missing.push(id);
  return { accepted, lost: missing };
}

/** Starts sessions without a pause, and copies the disk in the middle. */
async function cutWhileBusy(
  stack: Stack,
  nats: TestNats,
  disk: LoopDisk,
): Promise<{ accepted: string[]; after: LoopDisk }> {
  const acknowledged: string[] = [];
  let isOver = false;
  const client = async () => {
    while (!isOver) {
      const answer = await stack
        .post("/api/session/start", { profile: "quick", wait: 0 })
        .catch(() => undefined);
      if (answer !== undefined && answer.status < 300) acknowledged.push(answer.body.sessionId);
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  await until(() => acknowledged.length >= ENOUGH, {
    timeoutMs: 90_000,
    what: "enough sessions are accepted",
  });

  // From here on NATS acknowledges nothing, so the list of accepted sessions is complete.
  const pid = Number(await readFile(join(nats.dir, "nats.pid"), "utf8"));
  const accepted = [...acknowledged];
  process.kill(pid, "SIGSTOP");
  try {
    const after = later(await disk.afterPowerCut(), (one) => one.remove());
    return { accepted, after };
  } finally {
    process.kill(pid, "SIGCONT");
    isOver = true;
    await Promise.all(clients);
  }
}

/**
 * A stored request gets its record as soon as the dispatcher reads it. Only the first missing session is waited for:
 * by then the dispatcher has read everything.
 */
async function isKnownSoon(stack: Stack, id: string, isPatient: boolean): Promise<boolean> {
  const isKnown = async () => (await stack.get(`/api/session/${id}`)).status === 200;
  if (!isPatient) return await isKnown();
  return await until(isKnown, { timeoutMs: 20_000, what: `session ${id} is known` }).then(
    () => true,
    () => false,
  );
}
