// `npm run bench:isolation`: compares memory and speed of agents that share a process and agents that do not.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Isolation } from "../../libs/contracts/fleet/pool.ts";
import { type Json, type Stack, startStack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";
import { figuresOf } from "./proc-figures.ts";
import { overRounds, quantile, table } from "./statistics.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, starts: { type: "string", default: "20" } },
});
const ROUNDS = Number(values.rounds);
const STARTS = Number(values.starts);
/** Idle agents, of which a burst takes all. */
const IDLE = 5;
const TIMEOUT_MS = 120_000;

const echo = fileURLToPath(new URL("../../agents/echo.ts", import.meta.url));
const rows = [
  ["isolation", "processes", "PSS MB of 5 idle", "one start, p50 ms", "last of 5 ms", "5 idle again after s"],
];
for (const isolation of Isolation.options) rows.push(await measure(isolation));
console.log(
  `\n${os.cpus().length} cores, Node ${process.version}, agent echo, ${ROUNDS} rounds of ${STARTS} starts.\n`,
);
console.log(table(rows));

async function measure(isolation: Isolation): Promise<string[]> {
  const agentsDir = mkdtempSync(join(os.tmpdir(), "greenroom-bench-"));
  const pool = { min: IDLE, hot: 0, max: 20, perProcess: 20, isolation };
  const file = `export { default } from ${JSON.stringify(echo)};\nexport const pool = ${JSON.stringify(pool)};\n`;
  writeFileSync(join(agentsDir, "echo.mts"), file);
  const env = { GREENROOM_LOG_LEVEL: "warn", GREENROOM_MIN_PROCESSES_PER_PROFILE: "1" };
  const stack = await startStack({ agentsDir, env });
  try {
    await poolIsFull(stack);
    // Lets the processes free what only their start needed.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const pids = await agentPids(stack);
    const pssMb = pids.reduce((sum, pid) => sum + (figuresOf(pid)?.pssMb ?? 0), 0);
    const rounds: number[][] = [];
    const lasts: number[] = [];
    const refills: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const times: number[] = [];
      for (let count = 0; count < STARTS; count++) {
        const [time = 0] = await starts(stack, 1);
        times.push(time);
        await poolIsFull(stack);
      }
      rounds.push(times);
      lasts.push(Math.max(...(await starts(stack, IDLE))));
      const since = performance.now();
      await poolIsFull(stack);
      refills.push((performance.now() - since) / 1000);
    }
    const median = overRounds(rounds.map((times) => quantile(times, 0.5)));
    const refill = quantile(refills, 0.5).toFixed(1);
    return [isolation, String(pids.length), pssMb.toFixed(0), median, overRounds(lasts), refill];
  } finally {
    await stack.stop();
    rmSync(agentsDir, { recursive: true });
  }
}

/** Starts sessions at the same time and ends them. @returns the times until they were ready, in ms */
async function starts(stack: Stack, count: number): Promise<number[]> {
  const one = async () => {
    const startedAt = performance.now();
    const { status, body } = await stack.post("/api/session/start", { profile: "echo", wait: 30_000 });
    const tookMs = performance.now() - startedAt;
    if (status !== 200) throw new Error(`a start returned ${status}: ${JSON.stringify(body)}`);
    return { id: body.sessionId as string, tookMs };
  };
  const sessions = await Promise.all(Array.from({ length: count }, one));
  await Promise.all(sessions.map(({ id }) => stack.post(`/api/session/${id}/end`)));
  return sessions.map(({ tookMs }) => tookMs);
}

async function poolIsFull(stack: Stack): Promise<void> {
  const isFull = async () => {
    const { warm, busy, warming } = (await stack.get("/api/health")).body.profiles?.echo ?? {};
    return warm === IDLE && busy === 0 && warming === 0;
  };
  await until(isFull, { what: `${IDLE} idle agents`, timeoutMs: TIMEOUT_MS });
}

async function agentPids(stack: Stack): Promise<number[]> {
  const { hosts } = (await stack.get("/api/hosts")).body;
  return hosts.flatMap((host: Json) => host.processes.map(({ pid }: Json) => pid as number));
}
