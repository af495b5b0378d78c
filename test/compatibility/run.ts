// `npm run compatibility`: tries every agent file of a project, with a caller that listens and writes. Prints a table.
import "../kit/stack/quiet-rtc.ts";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startDeepgramStandIn } from "../kit/fakes/deepgram.ts";
import { startInferenceStandIn } from "../kit/fakes/inference.ts";
import { type Json, type Stack, startStack } from "../kit/stack/stack.ts";
import { visit } from "../kit/stack/visitor.ts";
import { until } from "../kit/until.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, env: { type: "string", multiple: true, default: [] } },
});
const [folder] = positionals;
if (folder === undefined) {
  console.error(
    "Usage: npm run compatibility -- <folder with agent files> [--only <profile,...>] [--env NAME=value ...]",
  );
  process.exit(2);
}
const only = values.only?.split(",");
const LOADED_MS = 20 * 60_000;
/** How long a caller waits for the greeting, and for an answer. Some agents don't greet. */
const GREETING_MS = 12_000;
const ANSWER_MS = 15_000;
const END_MS = 30_000;
const credentials = { apiKey: "inference", apiSecret: "inference-secret-of-the-stand-in" };
/** Reasons of ends without a failure. */
const USUAL = /^(user left|ended by the API|the room was closed)/;
const QUESTION = "Hello, can you hear me?";

interface Row {
  readonly profile: string;
  readonly loads: boolean;
  readonly ready?: boolean;
  readonly greets?: boolean;
  readonly answers?: boolean;
  readonly ended?: string;
  readonly attempts?: number;
  readonly note?: string;
}

const inference = await startInferenceStandIn(credentials);
const deepgram = await startDeepgramStandIn();
const stack = await startStack({
  agentsDir: resolve(folder),
  env: {
    GREENROOM_POOL_MIN: "0",
    GREENROOM_LOG_LEVEL: "warn",
    GREENROOM_USER_REJOIN_GRACE_MS: "500",
    OPENAI_API_KEY: "key-of-the-stand-in",
    OPENAI_BASE_URL: inference.url,
    DEEPGRAM_API_KEY: "key-of-the-stand-in",
    DEEPGRAM_BASE_URL: deepgram.url,
    LIVEKIT_INFERENCE_URL: inference.url,
    LIVEKIT_INFERENCE_API_KEY: credentials.apiKey,
    LIVEKIT_INFERENCE_API_SECRET: credentials.apiSecret,
    ...Object.fromEntries(values.env.map((pair) => pair.split(/=(.*)/s).slice(0, 2))),
  },
});
let failed = 0;
try {
  const profiles = await loadedProfiles(stack);
  const rows: Row[] = [];
  for (const [profile, status] of Object.entries(profiles)) {
    if (only !== undefined && !only.includes(profile)) continue;
    const row = await tried(stack, profile, status);
    console.error(JSON.stringify(row));
    rows.push(row);
  }
  console.log(tableOf(rows));
  failed = rows.filter(({ ready }) => ready !== true).length;
  console.log(`\n${rows.length} agent files, ${rows.length - failed} ready`);
} finally {
  await stack.stop();
  await Promise.all([inference.close(), deepgram.close()]);
}
// Otherwise LiveKit's native library would keep the process alive.
process.exit();

/** The profiles once each has been loaded or has failed to load. */
async function loadedProfiles(stack: Stack): Promise<Record<string, Json>> {
  let profiles: Record<string, Json> = {};
  const isDecided = ({ status, error }: Json) =>
    error !== undefined || (status !== "loading" && status !== "stopped");
  await until(
    async () => {
      profiles = (await stack.get("/api/health")).body.profiles ?? {};
      const all = Object.values(profiles);
      return all.length > 0 && all.every(isDecided);
    },
    {
      timeoutMs: LOADED_MS,
      everyMs: 500,
      what: () => `every file is loaded: ${JSON.stringify(profiles)}\n${stack.child("agent-host-1").text()}`,
    },
  );
  return profiles;
}

/** Calls one agent, listens to its greeting, and writes to it. */
async function tried(stack: Stack, profile: string, status: Json): Promise<Row> {
  if (status.status !== "running") return { profile, loads: false, note: status.error };
  const start = await stack.post("/api/session/start", { profile, wait: 30_000 });
  if (start.body.status !== "ready") {
    // The answer of a start that has failed names no session.
    const [newest] = (await stack.get(`/api/sessions?profile=${profile}`)).body.sessions;
    if (newest === undefined) return { profile, loads: true, ready: false, note: start.body.error };
    const session = await endOf(stack, newest.sessionId);
    const { endedReason, attempt } = session;
    const note = reasonOf(session) ?? session.state;
    return { profile, loads: true, ready: false, ended: endedReason, attempts: attempt, note };
  }
  const { sessionId } = start.body;
  const visitor = await visit(start.body);
  const sounds = visitor.listens();
  const texts = visitor.reads();
  const spoken = () => texts.map(({ text }) => text).join(" ");
  const silentFor = (from: number) => () => sounds.length > from;
  const greets = await happens(silentFor(0), GREETING_MS);
  // An answer begins after the greeting.
  await happens(() => performance.now() - (sounds.at(-1)?.atMs ?? 0) > 1500, GREETING_MS);
  const [before, said] = [sounds.length, spoken()];
  await visitor.write(QUESTION).catch(() => {});
  const answers = await happens(() => sounds.length > before && spoken() !== said, ANSWER_MS);
  await visitor.leave();
  const session = await endOf(stack, sessionId);
  const { lines } = (await stack.get(`/api/session/${sessionId}/logs?limit=1000`)).body;
  const errors = lines.filter(({ level }: Json) => level === "error").map(({ message }: Json) => message);
  const note = reasonOf(session) ?? errors[0];
  return {
    profile,
    loads: true,
    ready: true,
    greets,
    answers,
    ended: session.endedReason ?? session.state,
    attempts: session.attempt,
    ...(note === undefined ? {} : { note: String(note).slice(0, 300) }),
  };
}

/** Why an attempt failed, by the session's history. */
function reasonOf({ history }: Json): string | undefined {
  return history.findLast(({ reason }: Json) => reason !== undefined && !USUAL.test(reason))?.reason;
}

/** The session at its end, or as it is when it should have ended. */
async function endOf(stack: Stack, sessionId: string): Promise<Json> {
  const read = async () => (await stack.get(`/api/session/${sessionId}`)).body;
  await happens(async () => (await read()).state === "ended", END_MS);
  const session = await read();
  if (session.state !== "ended") await stack.post(`/api/session/${sessionId}/end`);
  return session;
}

/** Whether it happens in time. */
async function happens(what: () => unknown, timeoutMs: number): Promise<boolean> {
  try {
    await until(async () => Boolean(await what()), { timeoutMs, what: "" });
    return true;
  } catch {
    return false;
  }
}

function tableOf(rows: readonly Row[]): string {
  const cell = (value: unknown) =>
    value === undefined ? "" : value === true ? "yes" : value === false ? "no" : String(value);
  const lines = rows.map((row) =>
    [row.profile, row.loads, row.ready, row.greets, row.answers, row.ended, row.attempts, row.note]
      .map((value) => cell(value).replace(/\s+/g, " ").replaceAll("|", "\\|"))
      .join(" | "),
  );
  return [
    "profile | loads | ready | greets | answers | ends | attempts | note",
    "---|---|---|---|---|---|---|---",
    ...lines,
  ]
    .map((line) => `| ${line} |`)
    .join("\n");
}
