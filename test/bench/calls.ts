// `npm run bench:calls`: lists, key figures and exports over a million call records, on a real NATS and a real gateway.
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
const say = (line: string) => console.error(line);
/** Built by the calls service's own function, once for each kind; a million of them would take longer than to store them. */
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
  const made =
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
  kinds.set(key, made);
  return made;
}

/** One that a session of any kind could leave: most go well, some are handed over, some fail. */
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
  // A bus makes the streams as the services do.
  const bus = await connectNatsBus({
    url: nats.url,
    name: "fill",
    replicas: 1,
    log: silentLog,
    onLost: () => {},
  });
  const connection = await connect({ servers: nats.url });
  const js = connection.jetstream({ timeout: 60_000 });
  const began = performance.now();
  let bytes = 0;
  let underWay = new Set<Promise<unknown>>();
  for (let day = 0; day < DAYS; day++) {
    for (let n = 0; n < PER_DAY; n++) {
      const call = callAt(day, n);
      const data = encode(call);
      bytes += data.length;
      const ack = js.publish(calls.subjectOf(call), data).finally(() => underWay.delete(ack));
      underWay.add(ack);
      if (underWay.size >= IN_FLIGHT) {
        await Promise.all(underWay);
        underWay = new Set();
      }
    }
    if ((day + 1) % 5 === 0) say(`${((day + 1) * PER_DAY).toLocaleString("en")} calls are stored`);
  }
  await Promise.all(underWay);
  const tookS = (performance.now() - began) / 1000;
  say(
    `${Math.round(bytes / (DAYS * PER_DAY))} bytes a call, ${Math.round((DAYS * PER_DAY) / tookS)} stored a second`,
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
  const keeper = new KpiWriter({
    bus,
    clock: systemClock,
    log: silentLog,
    settings: { intervalMs: 30_000, lookbackDays: DAYS + 1 },
  });
  const times: number[] = [];
  for (let day = 0; day < DAYS; day++) {
    const began = performance.now();
    await keeper.make({ tenant: DEFAULT_TENANT, day: isoDay(day).replaceAll("-", "") });
    times.push(performance.now() - began);
  }
  say(
    `the figures of a day of ${PER_DAY} calls: ${ms(quantile(times, 0.5))} ms, at most ${ms(Math.max(...times))} ms`,
  );
  const wrong = await keeper.check({ tenant: DEFAULT_TENANT, day: isoDay(0).replaceAll("-", "") });
  if (wrong.length > 0) throw new Error(`Figures differ from a recomputation: ${wrong.join(", ")}`);
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
  const rows = [["what", "p50 ms", "p95 ms", "gateway's CPU ms", "aim for p95"]];
  const { pid } = running.child("gateway-1");
  const missed: string[] = [];
  /** @param aimMs what 19 of 20 answers may take at most; the bench ends with 1 when it is missed */
  const add = async (what: string, path: () => string, check: (body: Answer) => boolean, aimMs?: number) => {
    const times: number[] = [];
    const cpuBefore = cpuMs(pid);
    for (let round = 0; round < ROUNDS; round++) {
      const began = performance.now();
      const { status, body } = await running.get(path());
      times.push(performance.now() - began);
      if (status !== 200 || !check(body))
        throw new Error(`${what}: ${status} ${JSON.stringify(body).slice(0, 300)}`);
    }
    const p95 = quantile(times, 0.95);
    rows.push([
      what,
      ms(quantile(times, 0.5)),
      ms(p95),
      ms((cpuMs(pid) - cpuBefore) / ROUNDS),
      aimMs === undefined ? "" : `≤ ${aimMs}`,
    ]);
    if (aimMs !== undefined && p95 > aimMs) missed.push(`${what}: ${ms(p95)} ms, and not ${aimMs}`);
  };
  const isFull = (body: Answer) => body.calls?.length === 50;
  const hasSome = (body: Answer) => (body.calls?.length ?? 0) > 0;
  await add("a day's first page", () => `/api/calls?${one}`, isFull, 50);
  await add("a page from its middle", () => `/api/calls?${one}&cursor=${cursorAt(0.5)}`, isFull, 50);
  await add("its last page", () => `/api/calls?${one}&cursor=${compact}.${day * PER_DAY + 51}`, isFull, 50);
  await add("the newest calls, of a week", () => "/api/calls", isFull);
  await add("a day's failed ones (1 %)", () => `/api/calls?${one}&outcome=failed`, hasSome);
  await add(
    "one call by its id",
    () => `/api/calls/${someId()}`,
    (body) => body.sessionId !== undefined,
  );
  await add(
    "key figures of 30 days",
    () => "/api/kpis",
    (body) => (body.total?.calls ?? 0) > 0,
    200,
  );
  await add(
    "key figures of a day",
    () => `/api/kpis?${one}`,
    (body) => body.total?.calls === PER_DAY,
  );
  console.log(table(rows));
  for (const format of ["ndjson", "csv"]) await exportDays(running, format);
  if (missed.length === 0) return;
  say(`Aims are missed:\n${missed.map((one) => `  ${one}`).join("\n")}`);
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
  let most = before;
  const watching = setInterval(() => {
    most = Math.max(most, rssMb(pid));
  }, 100);
  const began = performance.now();
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
  clearInterval(watching);
  const tookS = (performance.now() - began) / 1000;
  const wanted = EXPORT_DAYS * PER_DAY + (format === "csv" ? 1 : 0);
  if (lines !== wanted) throw new Error(`The export has ${lines} lines, and not ${wanted}`);
  console.log(
    `export as ${format}: ${lines.toLocaleString("en")} lines, ${(bytes / 1e6).toFixed(0)} MB in ${tookS.toFixed(1)} s ` +
      `(${Math.round(lines / tookS).toLocaleString("en")} lines a second); the gateway's CPU ${((cpuMs(pid) - cpuBefore) / 1000).toFixed(1)} s, its memory ${before} MB before, ${most} MB at most`,
  );
}

/** What it has used so far; on a machine with much else to do it says more than the time that passed. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}
