// `npm run bench:calls`: measures lists, KPIs and exports over a million call records, with a real NATS and gateway.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { connect } from "nats";
import { encode } from "../../libs/bus/codec.ts";
import { connectNatsBus } from "../../libs/bus/nats/nats-bus.ts";
import type { CallRecord } from "../../libs/contracts/calls/call.ts";
import { DEFAULT_TENANT } from "../../libs/contracts/ids.ts";
import { calls } from "../../libs/contracts/streams.ts";
import { systemClock } from "../../libs/runtime/clock.ts";
import { silentLog } from "../../libs/runtime/log.ts";
import { KpiWriter } from "../../services/calls/kpi-writer.ts";
import { aCall } from "../kit/fixtures/calls.ts";
import { startNats } from "../kit/servers/servers.ts";
import { type Stack, startStack } from "../kit/stack/stack.ts";
import { ms, quantile, table } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "1000000" },
    days: { type: "string", default: "30" },
    rounds: { type: "string", default: "40" },
    /** Days of the long export. */
    export: { type: "string", default: "10" },
  },
});
const DAYS = Number(values.days);
const PER_DAY = Math.ceil(Number(values.calls) / DAYS);
const ROUNDS = Number(values.rounds);
const EXPORT_DAYS = Number(values.export);
const IN_FLIGHT = 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const PROFILES = ["support", "sales", "reminders", "echo", "assistant"];

const dayStart = (day: number): number => TODAY - (DAYS - day) * DAY_MS;
const isoDay = (day: number): string => new Date(dayStart(day)).toISOString().slice(0, 10);
const print = (line: string) => console.error(line);
/** Built by the calls service's own function, once for each kind. Building a million would take longer than storing them. */
const kinds = new Map<string, CallRecord>();

const nats = await startNats();
let stack: Stack | undefined;
try {
  await fill();
  stack = await startStack({
    nats,
    mock: true,
    hosts: 0,
    dispatchers: 0,
    janitors: 0,
    env: { GREENROOM_LOG_LEVEL: "warn" },
  });
  await makeKpis();
  await measure(stack);
} finally {
  await stack?.stop();
  await nats.stop();
}

function kindOf(chance: number, turns: number): CallRecord {
  const isFailed = chance === 0;
  const key = isFailed ? "failed" : `${chance === 1} ${chance < 90} ${turns}`;
  const record =
    kinds.get(key) ??
    aCall({
      id: `kind-${kinds.size}`,
      tenant: DEFAULT_TENANT,
      startedAtMs: TODAY,
      startMs: 100,
      talkMs: isFailed ? undefined : 60_000,
      warm: chance < 90 ? "hot" : "cold",
      hasFailover: chance === 1,
      turns,
      ...(isFailed ? { reason: "no_capacity" as const, fault: "platform" as const } : {}),
    });
  kinds.set(key, record);
  return record;
}

/** A call record of a realistic mix: most sessions complete, some fail over, some fail. */
function callAt(day: number, n: number): CallRecord {
  const chance = (n * 7919) % 100;
  const kind = kindOf(chance, 3 + (n % 12));
  const startedAtMs = dayStart(day) + Math.floor((n / PER_DAY) * (DAY_MS - 900_000));
  const startMs = 20 + (n % 400);
  const durationMs = 20_000 + ((n * 104_729) % 500_000);
  const sessionId = `${day.toString(36)}-${n.toString(36).padStart(6, "0")}-${((n * 2_654_435_761) % 2 ** 32).toString(36)}`;
  const isoAt = (ms: number) => new Date(startedAtMs + ms).toISOString();
  return {
    ...kind,
    sessionId,
    profile: PROFILES[n % PROFILES.length] as string,
    user: { id: `user-${n % 5000}`, name: `User ${n % 5000}` },
    room: `session-${sessionId}`,
    startedAt: isoAt(0),
    endedAt: isoAt(startMs + durationMs),
    ...(kind.answered ? { answeredAt: isoAt(startMs), startMs } : {}),
    metrics: { ...kind.metrics, durationMs: kind.answered ? durationMs : 0 },
  };
}

async function fill(): Promise<void> {
  // A bus creates the streams, like the services.
  const bus = await connectNatsBus({
    url: nats.url,
    name: "fill",
    replicas: 1,
    log: silentLog,
    onLost: () => {},
  });
  const connection = await connect({ servers: nats.url });
  const js = connection.jetstream({ timeout: 60_000 });
  const startedAt = performance.now();
  let bytes = 0;
  let inFlight = new Set<Promise<unknown>>();
  for (let day = 0; day < DAYS; day++) {
    for (let n = 0; n < PER_DAY; n++) {
      const call = callAt(day, n);
      const data = encode(call);
      bytes += data.length;
      const ack = js.publish(calls.subjectOf(call), data).finally(() => inFlight.delete(ack));
      inFlight.add(ack);
      if (inFlight.size >= IN_FLIGHT) {
        await Promise.all(inFlight);
        inFlight = new Set();
      }
    }
    if ((day + 1) % 5 === 0) print(`${((day + 1) * PER_DAY).toLocaleString("en")} calls stored`);
  }
  await Promise.all(inFlight);
  const tookS = (performance.now() - startedAt) / 1000;
  print(
    `${Math.round(bytes / (DAYS * PER_DAY))} bytes per call, ${Math.round((DAYS * PER_DAY) / tookS)} calls stored per second`,
  );
  await connection.close();
  await bus.close();
}

async function makeKpis(): Promise<void> {
  const bus = await connectNatsBus({
    url: nats.url,
    name: "kpis",
    replicas: 1,
    log: silentLog,
    onLost: () => {},
  });
  const writer = new KpiWriter({
    bus,
    clock: systemClock,
    log: silentLog,
    settings: { intervalMs: 30_000, lookbackDays: DAYS + 1 },
  });
  const times: number[] = [];
  for (let day = 0; day < DAYS; day++) {
    const startedAt = performance.now();
    await writer.make({ tenant: DEFAULT_TENANT, day: isoDay(day).replaceAll("-", "") });
    times.push(performance.now() - startedAt);
  }
  print(
    `KPIs of a day with ${PER_DAY} calls: p50 ${ms(quantile(times, 0.5))} ms, max ${ms(Math.max(...times))} ms`,
  );
  const wrong = await writer.check({ tenant: DEFAULT_TENANT, day: isoDay(0).replaceAll("-", "") });
  if (wrong.length > 0) throw new Error(`KPIs differ from a recomputation: ${wrong.join(", ")}`);
  await bus.close();
}

async function measure(running: Stack): Promise<void> {
  const day = DAYS - 3;
  const compact = isoDay(day).replaceAll("-", "");
  const one = `from=${isoDay(day)}&to=${isoDay(day)}`;
  const endOfDay = (day + 1) * PER_DAY;
  const cursorAt = (share: number) => `${compact}.${endOfDay - Math.floor(PER_DAY * share)}`;
  let n = 0;
  const someId = () => {
    n += 1;
    return callAt((n * 7) % DAYS, (n * 4099) % PER_DAY).sessionId;
  };
  const rows = [["request", "p50 ms", "p95 ms", "gateway CPU ms", "p95 target"]];
  const { pid } = running.child("gateway-1");
  const missed: string[] = [];
  /** @param targetMs the target for p95; a miss makes the benchmark exit with 1 */
  const add = async (
    what: string,
    path: () => string,
    check: (body: Answer) => boolean,
    targetMs?: number,
  ) => {
    const times: number[] = [];
    const cpuBefore = cpuMs(pid);
    for (let round = 0; round < ROUNDS; round++) {
      const startedAt = performance.now();
      const { status, body } = await running.get(path());
      times.push(performance.now() - startedAt);
      if (status !== 200 || !check(body))
        throw new Error(`${what}: ${status} ${JSON.stringify(body).slice(0, 300)}`);
    }
    const p95 = quantile(times, 0.95);
    rows.push([
      what,
      ms(quantile(times, 0.5)),
      ms(p95),
      ms((cpuMs(pid) - cpuBefore) / ROUNDS),
      targetMs === undefined ? "" : `≤ ${targetMs}`,
    ]);
    if (targetMs !== undefined && p95 > targetMs)
      missed.push(`${what}: ${ms(p95)} ms instead of ${targetMs}`);
  };
  const isFull = (body: Answer) => body.calls?.length === 50;
  const hasSome = (body: Answer) => (body.calls?.length ?? 0) > 0;
  await add("first page of a day", () => `/api/calls?${one}`, isFull, 50);
  await add("page from the middle of a day", () => `/api/calls?${one}&cursor=${cursorAt(0.5)}`, isFull, 50);
  await add(
    "last page of a day",
    () => `/api/calls?${one}&cursor=${compact}.${day * PER_DAY + 51}`,
    isFull,
    50,
  );
  await add("newest calls of a week", () => "/api/calls", isFull);
  await add("failed calls of a day (1 %)", () => `/api/calls?${one}&outcome=failed`, hasSome);
  await add(
    "one call by its id",
    () => `/api/calls/${someId()}`,
    (body) => body.sessionId !== undefined,
  );
  await add(
    "KPIs of 30 days",
    () => "/api/kpis",
    (body) => (body.total?.calls ?? 0) > 0,
    200,
  );
  await add(
    "KPIs of a day",
    () => `/api/kpis?${one}`,
    (body) => body.total?.calls === PER_DAY,
  );
  console.log(table(rows));
  for (const format of ["ndjson", "csv"]) await exportDays(running, format);
  if (missed.length === 0) return;
  print(`Missed targets:\n${missed.map((one) => `  ${one}`).join("\n")}`);
  process.exitCode = 1;
}

interface Answer {
  readonly calls?: readonly unknown[];
  readonly sessionId?: string;
  readonly total?: { readonly calls: number };
}

async function exportDays(running: Stack, format: string): Promise<void> {
  const { pid } = running.child("gateway-1");
  const first = DAYS - EXPORT_DAYS;
  const before = rssMb(pid);
  let max = before;
  const sampling = setInterval(() => {
    max = Math.max(max, rssMb(pid));
  }, 100);
  const startedAt = performance.now();
  const cpuBefore = cpuMs(pid);
  const response = await fetch(
    `${running.url}/api/calls/export?format=${format}&from=${isoDay(first)}&to=${isoDay(DAYS - 1)}`,
  );
  let bytes = 0;
  let lines = 0;
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += part.length;
    for (const byte of part) if (byte === 10) lines += 1;
  }
  clearInterval(sampling);
  const tookS = (performance.now() - startedAt) / 1000;
  const wanted = EXPORT_DAYS * PER_DAY + (format === "csv" ? 1 : 0);
  if (lines !== wanted) throw new Error(`The export has ${lines} lines instead of ${wanted}`);
  console.log(
    `export as ${format}: ${lines.toLocaleString("en")} lines, ${(bytes / 1e6).toFixed(0)} MB in ${tookS.toFixed(1)} s ` +
      `(${Math.round(lines / tookS).toLocaleString("en")} lines/s); gateway CPU ${((cpuMs(pid) - cpuBefore) / 1000).toFixed(1)} s, memory ${before} MB before, ${max} MB at most`,
  );
}

/** CPU time used so far, in ms; on a busy machine a better measure than elapsed time. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}
