// The power goes: what a session's client was told is accepted is still there, if NATS syncs each write.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { type LoopDisk, makeLoopDisk, whyNoLoopDisk } from "../../kit/servers/loop-disk.ts";
import { startNats } from "../../kit/servers/servers.ts";
import type { TestNats } from "../../kit/servers/test-nats.ts";
import { agentsDir, removeAgentsDirs } from "../../kit/stack/agents-dir.ts";
import { type Stack, startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

const problem = await whyNoLoopDisk();
if (problem !== undefined)
  console.warn(`The power-loss test can't run: ${problem}. Run it as root on Linux.`);

const DISK_MB = 256;
/** Clients that ask at the same time, each again and again until the power goes. */
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

test.skipIf(problem !== undefined)(
  "with each write synced, every session that was accepted outlives the loss of power",
  async () => {
    const { accepted, lost } = await losePower("always");
    expect(accepted.length).toBeGreaterThanOrEqual(ENOUGH);
    expect(lost).toEqual([]);
  },
);

test.skipIf(problem !== undefined)(
  "with the server's own lazy sync accepted sessions are lost, which shows that this test can see it",
  async () => {
    const { accepted, lost } = await losePower("2m");
    expect(accepted.length).toBeGreaterThanOrEqual(ENOUGH);
    expect(lost.length).toBeGreaterThan(0);
  },
);

/** Sessions that clients were told are accepted, before the power went; and those of them that nobody knows after. */
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

/** Starts sessions without a pause and takes the disk as it is in the middle of that. */
async function cutWhileBusy(
  stack: Stack,
  nats: TestNats,
  disk: LoopDisk,
): Promise<{ accepted: string[]; after: LoopDisk }> {
  const told: string[] = [];
  let isOver = false;
  const client = async () => {
    while (!isOver) {
      const answer = await stack
        .post("/api/session/start", { profile: "quick", wait: 0 })
        .catch(() => undefined);
      if (answer !== undefined && answer.status < 300) told.push(answer.body.sessionId);
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  await until(() => told.length >= ENOUGH, { timeoutMs: 90_000, what: "enough sessions are accepted" });

  // Clients go on asking; nothing is acknowledged from here on, so what they know is what was on the disk or not.
  const pid = Number(await readFile(join(nats.dir, "nats.pid"), "utf8"));
  const accepted = [...told];
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
 * A request that is stored without its record gets it as soon as a dispatcher reads on. The first that doesn't
 * come is waited for; by then the dispatcher has read all, and the others need no patience.
 */
async function isKnownSoon(stack: Stack, id: string, isPatient: boolean): Promise<boolean> {
  const isKnown = async () => (await stack.get(`/api/session/${id}`)).status === 200;
  if (!isPatient) return await isKnown();
  return await until(isKnown, { timeoutMs: 20_000, what: `session ${id} is known` }).then(
    () => true,
    () => false,
  );
}
