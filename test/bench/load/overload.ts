// `npm run overload`: finds the rate that this machine sustains, offers twice that rate, and measures the recovery.
import os from "node:os";
import { parseArgs } from "node:util";
import { agentsDir, removeAgentsDirs } from "../../kit/stack/agents-dir.ts";
import { startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";
import { describeOutcome, type OfferOptions, type Outcome, offer } from "./open-load.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    /** Starts per second that count as sustained; measured first by default. */
    rate: { type: "string" },
    /** Use real rooms. Simulated rooms leave the machine to Greenroom's services. */
    livekit: { type: "boolean", default: false },
  },
});
const RAMP_SECONDS = 6;
const RAMP_FACTOR = 1.5;
const FIRST_PER_SECOND = 4;
/** A rate is sustained if every start becomes ready, with p99 within this time. */
const SUSTAINED_MS = 2000;
const RECOVERED_MS = 5000;
/** Far above what the queue and the wait allow: only an unbounded latency exceeds it. */
const GENEROUS_P99_MS = 30_000;
const GENEROUS_MB = 300;

const stack = await startStack({
  agentsDir: agentsDir("quick"),
  mock: !values.livekit,
  env: { GREENROOM_LOG_LEVEL: "warn", GREENROOM_MAX_AGENTS: "60", GREENROOM_MAX_QUEUE_LENGTH: "50" },
});
const common = { profile: "quick", waitMs: 10_000, lastsMs: 500 };
try {
  await poolIsKnown();
  await stack.post("/api/pool/resize", { profile: "quick", size: 20 });
  await poolIsFull();
  const sustained = values.rate === undefined ? await findSustained() : Number(values.rate);
  const options: OfferOptions = { ...common, perSecond: 2 * sustained, seconds: Number(values.seconds) };
  console.log(`\nTwice that rate, ${options.perSecond.toFixed(1)}/s for ${values.seconds} s:`);
  const outcome = await offer(stack, options);
  console.log(describeOutcome(outcome));
  for (const wrong of outcome.wrong.slice(0, 5)) console.log(`  ${wrong}`);
  printMemory(outcome);
  const recoveredMs = await recovery();
  console.log(`A start is ready within a second again after ${Math.round(recoveredMs)} ms.`);
  process.exitCode = judge(outcome, recoveredMs);
} finally {
  await stack.stop();
  removeAgentsDirs();
}

async function findSustained(): Promise<number> {
  console.log(
    `${os.cpus().length} cores, Node ${process.version}, ${values.livekit ? "real" : "simulated"} rooms.`,
  );
  let sustained = FIRST_PER_SECOND / RAMP_FACTOR;
  for (let perSecond = FIRST_PER_SECOND; ; perSecond *= RAMP_FACTOR) {
    const outcome = await offer(stack, { ...common, perSecond, seconds: RAMP_SECONDS });
    console.log(`${perSecond.toFixed(1)}/s: ${describeOutcome(outcome)}`);
    const isSustained =
      outcome.wrong.length + outcome.refused + outcome.waiting === 0 && outcome.readyMs.p99 <= SUSTAINED_MS;
    await poolIsFull();
    if (!isSustained) break;
    sustained = perSecond;
  }
  console.log(`Sustained: ${sustained.toFixed(1)} starts/s.`);
  return sustained;
}

function judge(outcome: Outcome, recoveredMs: number): number {
  const faults = [
    ...stack.children.filter(({ hasEnded }) => hasEnded).map(({ name }) => `${name} ended`),
    ...(outcome.wrong.length > 0 ? [`${outcome.wrong.length} answers were neither ready nor 429`] : []),
    ...(outcome.readyMs.p99 > GENEROUS_P99_MS ? [`p99 of the ready ones was ${outcome.readyMs.p99} ms`] : []),
    ...grown(outcome).map(([name, mb]) => `${name} grew by ${mb} MB`),
    ...(recoveredMs > RECOVERED_MS ? [`recovery took ${Math.round(recoveredMs)} ms`] : []),
  ];
  console.log(faults.length === 0 ? "Passed." : `FAILED: ${faults.join("; ")}`);
  return faults.length === 0 ? 0 : 1;
}

function memoryOf(outcome: Outcome, name: string): number[] {
  return outcome.seconds.flatMap(({ memoryMb }) => memoryMb[name] ?? []);
}

function grown({ seconds, ...rest }: Outcome): [string, number][] {
  const names = Object.keys(seconds[0]?.memoryMb ?? {});
  return names
    .map((name): [string, number] => {
      const values = memoryOf({ seconds, ...rest }, name);
      return [name, Math.max(...values) - (values[0] ?? 0)];
    })
    .filter(([, mb]) => mb > GENEROUS_MB);
}

/** Prints about ten memory values of each process over the run. */
function printMemory(outcome: Outcome): void {
  for (const name of Object.keys(outcome.seconds[0]?.memoryMb ?? {})) {
    const all = memoryOf(outcome, name);
    const step = Math.max(1, Math.floor(all.length / 10));
    console.log(`  ${name}, MB: ${all.filter((_, index) => index % step === 0).join(" ")}`);
  }
  console.log(
    `  maximum of sessions not yet ready: ${Math.max(...outcome.seconds.map(({ starting }) => starting))}`,
  );
}

/** The time from the end of the load until a start is ready within a second. */
async function recovery(): Promise<number> {
  const startedAt = performance.now();
  await until(
    async () => {
      const { status, body } = await stack.post("/api/session/start", { profile: "quick", wait: 1000 });
      if (body.sessionId !== undefined) await stack.post(`/api/session/${body.sessionId}/end`);
      return status === 200;
    },
    { timeoutMs: 60_000, everyMs: 100, what: "a start is ready within a second" },
  );
  return performance.now() - startedAt;
}

async function poolIsKnown(): Promise<void> {
  await until(async () => (await stack.get("/api/pools")).body.pools?.[0]?.target != null, {
    timeoutMs: 60_000,
    what: "the pool is known",
  });
}

/** Waits until no session is left and the pool is full again. */
async function poolIsFull(): Promise<void> {
  await until(
    async () => {
      const { sessions, profiles } = (await stack.get("/api/health")).body;
      const { warm, hot, warming, busy } = profiles.quick;
      return sessions.total === 0 && busy === 0 && warming === 0 && warm + hot >= 20;
    },
    { timeoutMs: 120_000, everyMs: 100, what: "the pool is full again" },
  );
}
