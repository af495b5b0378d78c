// `npm run soak -- --minutes 30`: starts, calls and ends sessions at a steady rate, and reports anything that grows.
import { mkdir, writeFile } from "node:fs/promises";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RoomServiceClient } from "livekit-server-sdk";
import { connect, nanos } from "nats";
import { messageOf } from "../../../libs/contracts/errors.ts";
import { liveRooms } from "../../../libs/livekit/live-rooms.ts";
import { startStack } from "../../kit/stack/stack.ts";
import { curvesPage, number } from "./curves.ts";
import { floorOf, type Sample, type SampleSource, takeSample } from "./samples.ts";
import { SteadyLoad } from "./steady-load.ts";
import { type Series, type Trend, trendOf } from "./trend.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    /** Seconds between two starts, and of each session. */
    every: { type: "string", default: "2" },
    lasts: { type: "string", default: "8" },
    /** One session in this number has a real participant who talks. */
    calls: { type: "string", default: "4" },
    /** Retention of streams and ended records in seconds: short, to reach a steady state during the warm-up. */
    keep: { type: "string", default: "90" },
    /** Seconds before the first judged sample. */
    "warm-up": { type: "string" },
    /** Seconds between two samples. */
    sample: { type: "string", default: "10" },
    out: { type: "string", default: fileURLToPath(new URL("../../../soak-report", import.meta.url)) },
  },
});
const MINUTES = Number(values.minutes);
const SAMPLE_MS = Number(values.sample) * 1000;
const KEEP_S = Number(values.keep);
const WARM_UP_S = Number(values["warm-up"] ?? Math.max(KEEP_S + 60, (MINUTES * 60) / 3));

const stack = await startStack({
  agentsDir: fileURLToPath(new URL("../../../agents", import.meta.url)),
  env: {
    GREENROOM_LOG_LEVEL: "warn",
    GREENROOM_SESSION_RETENTION_MS: String(KEEP_S * 1000),
    GREENROOM_USER_REJOIN_GRACE_MS: "1000",
    GREENROOM_MAX_AGENTS: "50",
    // Small enough to replace agent processes during the run instead of after days.
    GREENROOM_PROCESS_MEMORY_MB: "500",
  },
});
const { livekit } = stack;
if (livekit === undefined) throw new Error("The soak needs a real LiveKit");
const source: SampleSource = {
  stack,
  rooms: liveRooms(
    new RoomServiceClient(livekit.url.replace(/^ws/, "http"), livekit.apiKey, livekit.apiSecret),
  ),
};
await keepStreamsShort();
const load = new SteadyLoad(stack, {
  everyMs: Number(values.every) * 1000,
  lastsMs: Number(values.lasts) * 1000,
  callEvery: Number(values.calls),
});
const samples: { atS: number; sample: Sample }[] = [];
const startedAt = performance.now();
const elapsedS = () => (performance.now() - startedAt) / 1000;
let stopping = false;
process.once("SIGINT", () => {
  stopping = true;
});
try {
  load.start();
  while (elapsedS() < MINUTES * 60 && !stopping) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    try {
      samples.push({ atS: Math.round(elapsedS()), sample: await takeSample(source) });
    } catch (error) {
      console.error(`failed to take a sample: ${messageOf(error)}`);
    }
    if (samples.length % 6 === 0) console.error(`${number(elapsedS() / 60)} min: ${load.summary()}`);
  }
  await load.stop();
  process.exitCode = await report();
} finally {
  await stack.stop();
}
process.exit();

/** Shortens the retention of the streams, since messages that are kept for days grow by design. */
async function keepStreamsShort(): Promise<void> {
  const connection = await connect({ servers: stack.natsUrl });
  const { streams } = await connection.jetstreamManager();
  for (const name of ["SESSIONS", "SESSION_LOGS", "DEAD_LETTERS"]) {
    const { config } = await streams.info(name);
    await streams.update(name, {
      ...config,
      max_age: nanos(KEEP_S * 1000),
      duplicate_window: nanos(KEEP_S * 1000),
    });
  }
  await connection.close();
}

async function report(): Promise<number> {
  const series = seriesOf();
  const trends = series
    .map((one) => ({ ...one, points: one.points.filter(([atS]) => atS >= WARM_UP_S) }))
    // Drops the series of processes that were replaced or started during the run.
    .filter(({ points }) => (points[0]?.[0] ?? Infinity) < WARM_UP_S + 2 * (SAMPLE_MS / 1000) + 5)
    .filter(({ points }) => (points.at(-1)?.[0] ?? 0) > elapsedS() - 60)
    .map(trendOf);
  // Times depend on the machine's other load: they are printed but not judged.
  const growing = trends.filter(({ name, isGrowing }) => isGrowing && !name.endsWith("ms"));
  const failed = load.failures();
  const about = [
    `${number(elapsedS() / 60)} minutes, judged after the first ${number(WARM_UP_S / 60)}: ${load.summary()}.`,
    `${os.cpus().length} cores, Node ${process.version}. Records, streams and logs are kept for ${KEEP_S} s.`,
    "A series grows if its Theil–Sen slope raises it over the measured span by more than 8 % of its median.",
    "The rise must also exceed a floor (12 MB, or 3 for counts), and the Mann–Kendall z must exceed 3.",
  ];
  await mkdir(values.out, { recursive: true });
  const result = { about, measuredFromS: WARM_UP_S, failures: failed, trends, samples };
  await writeFile(join(values.out, "soak.json"), JSON.stringify(result));
  await writeFile(join(values.out, "soak.html"), curvesPage("Soak", about, series, trends, WARM_UP_S));
  console.log(about.join("\n"));
  for (const trend of trends.filter(isOfInterest)) console.log(lineOf(trend));
  for (const failure of failed.slice(0, 10)) console.log(`failed: ${failure}`);
  console.log(
    growing.length === 0 ? "Nothing grows." : `GROWING: ${growing.map(({ name }) => name).join("; ")}`,
  );
  console.log(`Curves: ${join(values.out, "soak.html")}`);
  return growing.length > 0 || trends.length === 0 || failed.length > 0 ? 1 : 0;
}

function seriesOf(): Series[] {
  const names = [...new Set(samples.flatMap(({ sample }) => Object.keys(sample)))].sort();
  return names.map((name) => ({
    name,
    unit: "",
    floor: floorOf(name),
    points: samples.flatMap(({ atS, sample }) => {
      const value = sample[name];
      return value === undefined ? [] : [[atS, value] as const];
    }),
  }));
}

function isOfInterest({ name, isGrowing }: Trend): boolean {
  return isGrowing || !/threads|open files/.test(name) || /gateway|agent-host|agent processes/.test(name);
}

function lineOf(trend: Trend): string {
  const { isGrowing, name, median, perHour, z } = trend;
  return `${isGrowing ? "GROWS" : "flat "}  ${name}: median ${number(median)}, ${number(perHour)} per hour, z ${z.toFixed(1)}`;
}
