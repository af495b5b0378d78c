// `npm run bench:start`: measures the time from a client's request to a ready agent, with real NATS and LiveKit.
import os from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Json, type Stack, startStack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";
import { overRounds, quantile, table } from "./statistics.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, starts: { type: "string", default: "30" } },
});
const ROUNDS = Number(values.rounds);
const STARTS = Number(values.starts);
const WAIT_MS = 30_000;

/** The targets of this project, and measurements of LiveKit's own dispatch on a machine of this kind. */
const references: Record<string, { target: string; livekit: string }> = {
  "hot, one at a time": { target: "p50 ≤ 25, p99 ≤ 80", livekit: "p50 425, p95 493" },
  "warm, one at a time": { target: "p50 ≤ 150", livekit: "p50 425, p95 493" },
  "warm, burst of 10": { target: "last ≤ 1,000", livekit: "last 7,400" },
  "warm, burst of 20": { target: "last ≤ 2,000", livekit: "last 22,000" },
};

interface Started {
  readonly sessionId: string;
  readonly tookMs: number;
  readonly warm: string;
}

const stack = await startStack({
  agentsDir: fileURLToPath(new URL("agents", import.meta.url)),
  env: { GREENROOM_MAX_AGENTS: "200", GREENROOM_LOG_LEVEL: "warn" },
});
try {
  await poolIsFull("hot", 6, 4);
  await poolIsFull("warm", 20, 0);
  const rows = [["starts", "p50 ms", "p95 ms", "p99 or last ms", "target", "LiveKit's own dispatch"]];
  for (const [profile, warmth] of [
    ["hot", "hot"],
    ["warm", "warm"],
  ] as const) {
    rows.push(await oneAtATime(profile, warmth));
  }
  for (const size of [10, 20]) rows.push(await burst(size));
  const memory = await memoryPerAgent();
  print(rows, memory);
} finally {
  await stack.stop();
}

async function oneAtATime(profile: string, warmth: string): Promise<string[]> {
  const rounds: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const times: number[] = [];
    for (let i = 0; i < STARTS; i++) {
      await poolIsFull(profile, 1, warmth === "hot" ? 1 : 0);
      const started = await start(profile);
      if (started.warm === warmth) times.push(started.tookMs);
      await end(started);
    }
    if (times.length < STARTS * 0.9)
      throw new Error(`only ${times.length} of ${STARTS} starts were ${warmth}`);
    rounds.push(times);
  }
  const figure = (q: number) => overRounds(rounds.map((times) => quantile(times, q)));
  const name = `${profile}, one at a time`;
  return [name, figure(0.5), figure(0.95), figure(0.99), ...reference(name)];
}

async function burst(size: number): Promise<string[]> {
  const firsts: number[] = [];
  const p95s: number[] = [];
  const lasts: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await poolIsFull("warm", 20, 0);
    const started = await Promise.all(Array.from({ length: size }, () => start("warm")));
    const times = started.map(({ tookMs }) => tookMs);
    firsts.push(quantile(times, 0.5));
    p95s.push(quantile(times, 0.95));
    lasts.push(Math.max(...times));
    await Promise.all(started.map(end));
  }
  const name = `warm, burst of ${size}`;
  return [name, overRounds(firsts), overRounds(p95s), overRounds(lasts), ...reference(name)];
}

/** The growth of the profile's processes from 2 to 42 warm agents, divided by 40. */
async function memoryPerAgent(): Promise<number> {
  await poolIsFull("idle", 2, 0);
  const before = await memoryOf("idle", 2);
  await stack.post("/api/pool/resize", { profile: "idle", size: 42 });
  await poolIsFull("idle", 42, 0);
  const after = await memoryOf("idle", 42);
  if (after.processes !== before.processes)
    throw new Error(`the pool grew from ${before.processes} to ${after.processes} processes`);
  return (after.memoryMb - before.memoryMb) / 40;
}

interface ProcessMemory {
  readonly memoryMb: number;
  readonly processes: number;
}

async function memoryOf(profile: string, slots: number): Promise<ProcessMemory> {
  // Processes report their memory every second, so after two more reports the value is current.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const { body } = await stack.get("/api/hosts");
  const processes = body.hosts
    .flatMap((host: Json) => host.processes)
    .filter((each: Json) => each.profile === profile) as Json[];
  const present = processes.flatMap((each) => each.slots).length;
  if (present !== slots) throw new Error(`${profile} has ${present} slots instead of ${slots}`);
  return {
    memoryMb: processes.reduce((sum, each) => sum + each.memoryMb, 0),
    processes: processes.length,
  };
}

async function start(profile: string): Promise<Started> {
  const startedAt = performance.now();
  const { status, body } = await stack.post("/api/session/start", { profile, wait: WAIT_MS });
  const tookMs = performance.now() - startedAt;
  if (status !== 200) throw new Error(`a start returned ${status}: ${JSON.stringify(body)}`);
  return { sessionId: body.sessionId, warm: body.warm, tookMs };
}

async function end({ sessionId }: Started): Promise<void> {
  await stack.post(`/api/session/${sessionId}/end`, {});
}

/** Waits until a profile has this number of idle and hot agents, and none is busy. */
async function poolIsFull(profile: string, idle: number, hot: number): Promise<void> {
  await until(
    async () => {
      const present = (await (stack as Stack).get("/api/health")).body.profiles?.[profile];
      return (
        present !== undefined &&
        present.busy === 0 &&
        present.hot >= hot &&
        present.hot + present.warm >= idle
      );
    },
    { what: `${idle} idle agents of ${profile}`, timeoutMs: 60_000 },
  );
}

function reference(name: string): string[] {
  const found = references[name];
  return [found?.target ?? "", found?.livekit ?? ""];
}

function print(rows: string[][], memoryMb: number): void {
  console.log(
    `\nSubmit → ready over HTTP, real nats-server and livekit-server, ${os.cpus().length} cores, Node ${process.version}.`,
  );
  console.log(
    `Median (least–most) of ${ROUNDS} rounds, ${STARTS} starts each, where they run one at a time.\n`,
  );
  console.log(table(rows));
  console.log(
    `\nMemory of each additional warm agent: ${memoryMb.toFixed(1)} MB (target ≤ 6; LiveKit's own: 172 per live session)`,
  );
}
