// `npm run bench:footprint`: measures memory, idle CPU and start-up times of `npm start` with the agents of agents/.
import { writeFile } from "node:fs/promises";
import os from "node:os";
import { parseArgs } from "node:util";
import { HealthAnswer } from "../../libs/contracts/fleet/http.ts";
import { type LocalProcess, LocalSite } from "../kit/stack/start-local.ts";
import { until } from "../kit/until.ts";
import { figuresOf, type ProcFigures } from "./proc-figures.ts";
import { table } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    /** Seconds before the measurement of the idle CPU, in which Node compiles what runs often, and of the measurement. */
    "warm-up": { type: "string", default: "120" },
    window: { type: "string", default: "60" },
    /** A file for all figures. */
    json: { type: "string" },
  },
});
const WARM_UP_MS = Number(values["warm-up"]) * 1000;
const WINDOW_MS = Number(values.window) * 1000;
/** Warm agents of the profile echo in an idle system. */
const AGENTS = 3;
const TIMEOUT_MS = 180_000;

interface Start {
  /** The times from the command to the API's first answer, and to the first and the last warm agent, in ms. */
  readonly apiMs: number;
  readonly firstAgentMs: number;
  readonly allAgentsMs: number;
}

interface Row {
  readonly name: string;
  readonly processes: number;
  readonly pssMb: number;
  readonly rssMb: number;
  /** Percent of one core. */
  readonly cpuPercent: number;
}

const SERVERS = ["nats-server", "livekit-server"];

const site = await LocalSite.make();
try {
  const first = await start();
  await sleep(WARM_UP_MS);
  const processes = await measure();
  await stop(first.local);
  const second = await start();
  await stop(second.local);
  await report(processes, first.times, second.times);
} finally {
  await site.clean();
}

async function start(): Promise<{ local: LocalProcess; times: Start }> {
  const startedAtMs = performance.now();
  const local = site.startByNpm({ LIVEKIT_MOCK_MODE: "false" });
  const reached = async (what: string, isReached: () => Promise<boolean>) => {
    await until(isReached, { timeoutMs: TIMEOUT_MS, everyMs: 20, what: () => `${what}:\n${local.text()}` });
    return performance.now() - startedAtMs;
  };
  const apiMs = await reached("the API answers", async () => (await get("/readyz")) !== undefined);
  const agents = async () => HealthAnswer.safeParse(await get("/api/health")).data?.sessions.pool ?? 0;
  const firstAgentMs = await reached("an agent is warm", async () => (await agents()) > 0);
  const allAgentsMs = await reached("all agents are warm", async () => (await agents()) >= AGENTS);
  return { local, times: { apiMs, firstAgentMs, allAgentsMs } };
}

async function stop(local: LocalProcess): Promise<void> {
  local.signal("SIGTERM");
  await site.isEmpty(60_000);
}

/** Measures the processes, grouped by name, the largest first. */
async function measure(): Promise<Row[]> {
  const before = new Map(sample().map((one) => [one.pid, one.cpuMs]));
  const sinceMs = performance.now();
  await sleep(WINDOW_MS);
  const after = sample();
  const tookMs = performance.now() - sinceMs;
  const rows = [...new Set(after.map(({ name }) => name))].map((name) => {
    const all = after.filter((one) => one.name === name);
    const sum = (of: (one: ProcFigures) => number) => all.reduce((total, one) => total + of(one), 0);
    const cpuMs = sum(({ pid, cpuMs: now }) => now - (before.get(pid) ?? now));
    return {
      name,
      processes: all.length,
      pssMb: sum(({ pssMb }) => pssMb),
      rssMb: sum(({ rssMb }) => rssMb),
      cpuPercent: (100 * cpuMs) / tookMs,
    };
  });
  return rows.sort((a, b) => b.pssMb - a.pssMb);
}

function sample(): ProcFigures[] {
  return site.pids().flatMap((pid) => figuresOf(pid) ?? []);
}

async function report(processes: readonly Row[], first: Start, second: Start): Promise<void> {
  const total = sumOf("all", processes);
  const own = sumOf(
    "all without NATS and LiveKit",
    processes.filter(({ name }) => !SERVERS.includes(name)),
  );
  console.log(
    `\nnpm start, idle with ${AGENTS} warm agents, ${os.cpus().length} cores, Node ${process.version}, CPU over ${WINDOW_MS / 1000} s.\n`,
  );
  console.log(
    table([
      ["process", "number", "PSS MB", "RSS MB", "CPU % of a core"],
      ...[...processes, own, total].map(({ name, processes: count, pssMb, rssMb, cpuPercent }) => [
        name,
        String(count),
        pssMb.toFixed(0),
        rssMb.toFixed(0),
        cpuPercent.toFixed(1),
      ]),
    ]),
  );
  const seconds = (ms: number) => (ms / 1000).toFixed(2);
  const row = (name: string, { apiMs, firstAgentMs, allAgentsMs }: Start) => [
    name,
    ...[apiMs, firstAgentMs, allAgentsMs].map(seconds),
  ];
  console.log();
  console.log(
    table([
      ["start", "API answers, s", "first warm agent, s", `${AGENTS} warm agents, s`],
      row("first", first),
      row("second", second),
    ]),
  );
  console.log(
    "\nTargets: 600 MB of PSS and 5 % of a core in total; 2 s to the API, 4 s to the first warm agent.",
  );
  const figures = { processes, own, total, first, second, windowMs: WINDOW_MS, node: process.version };
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify(figures, null, 2));
}

function sumOf(name: string, rows: readonly Row[]): Row {
  const sum = (of: (row: Row) => number) => rows.reduce((total, row) => total + of(row), 0);
  return {
    name,
    processes: sum((row) => row.processes),
    pssMb: sum((row) => row.pssMb),
    rssMb: sum((row) => row.rssMb),
    cpuPercent: sum((row) => row.cpuPercent),
  };
}

/** Returns the body of a successful answer; undefined on any failure. */
async function get(path: string): Promise<unknown> {
  try {
    const response = await fetch(site.url + path, { signal: AbortSignal.timeout(2000) });
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
