// `npm run bench:greeting`: measures the time from a user's join to the first sound of the agent's greeting.
import "../kit/stack/quiet-rtc.ts";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  AudioSource,
  LocalAudioTrack,
  Room,
  RoomEvent,
  TrackPublishOptions,
  TrackSource,
} from "@livekit/rtc-node";
import { AccessToken, RoomAgentDispatch, RoomConfiguration } from "livekit-server-sdk";
import { startNativeWithoutLogCapture } from "../../services/agent-host/agent-process/native.ts";
import { LiveKitWorker } from "../kit/servers/livekit-workers.ts";
import type { TestLiveKit } from "../kit/servers/servers.ts";
import { heardIn, type Sound } from "../kit/stack/listener.ts";
import { startStack } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";
import { overRounds, quantile, table } from "./statistics.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, calls: { type: "string", default: "10" } },
});
const ROUNDS = Number(values.rounds);
const CALLS = Number(values.calls);
const TIMEOUT_MS = 60_000;
/** Each call begins with full pools and without work that is left from the one before. */
const PAUSE_MS = 1500;
const IDLE = 3;

interface Join {
  readonly url: string;
  readonly token: string;
}

const echo = fileURLToPath(new URL("../../agents/echo.ts", import.meta.url));
const agentsDir = mkdtempSync(join(os.tmpdir(), "greenroom-bench-"));
// The isolation of an agent file that is brought unchanged, which is also LiveKit's.
const pool = { min: IDLE, hot: 1, max: 20, isolation: "process" };
writeFileSync(
  join(agentsDir, "echo.mts"),
  `export { default } from ${JSON.stringify(echo)};\nexport const pool = ${JSON.stringify(pool)};\n`,
);
startNativeWithoutLogCapture();
const stack = await startStack({ agentsDir, env: { GREENROOM_LOG_LEVEL: "warn" } });
const livekit = stack.livekit as TestLiveKit;
let worker: LiveKitWorker | undefined;
try {
  worker = await LiveKitWorker.start(livekit, echo, "stock-echo");
  const ways: [string, () => Promise<Join>][] = [
    ["Greenroom: the session starts at the join", () => tokenOfGreenroom({})],
    [
      'Greenroom: the session starts with the token (`start: "now"`)',
      () => tokenOfGreenroom({ start: "now" }),
    ],
    ["LiveKit's own worker, dispatched at the join", tokenOfLiveKit],
  ];
  const times = ways.map((): number[][] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const list of times) list.push([]);
    // The ways take turns, so that they meet the same load.
    for (let call = 0; call < CALLS; call++) {
      for (const [index, [, token]] of ways.entries()) {
        await poolIsFull();
        times[index]?.[round]?.push(await untilGreeting(await token()));
      }
    }
  }
  const rows = ways.map(([name], index) => {
    const figure = (q: number) => overRounds((times[index] ?? []).map((round) => quantile(round, q)));
    return [name, figure(0.5), figure(0.95)];
  });
  console.log(
    `\nFrom connect() of a user with a microphone to the first sound of the greeting, real nats-server and livekit-server, ${os.cpus().length} cores, Node ${process.version}.`,
  );
  console.log(
    `Agent echo, a process for each session. Median (least–most) of ${ROUNDS} rounds of ${CALLS} calls.\n`,
  );
  console.log(table([["join → greeting", "p50 ms", "p95 ms"], ...rows]));
} finally {
  await worker?.kill9();
  await stack.stop();
  rmSync(agentsDir, { recursive: true });
}
// Otherwise LiveKit's native library would keep the process alive.
process.exit();

async function tokenOfGreenroom(body: object): Promise<Join> {
  const answer = await stack.post("/api/livekit/token", {
    ...body,
    room_config: { agents: [{ agent_name: "echo" }] },
  });
  if (answer.status !== 201) throw new Error(`a token request returned ${answer.status}`);
  const id = answer.headers.get("greenroom-session-id");
  const isReady = async () => (await stack.get(`/api/session/${id}`)).body.state === "ready";
  if ("start" in body) await until(isReady, { what: "a ready session", timeoutMs: TIMEOUT_MS });
  return { url: answer.body.server_url, token: answer.body.participant_token };
}

async function tokenOfLiveKit(): Promise<Join> {
  const { apiKey, apiSecret, url } = livekit;
  const room = `bench-${randomUUID()}`;
  const access = new AccessToken(apiKey, apiSecret, { identity: "user" });
  access.addGrant({ room, roomJoin: true });
  access.roomConfig = new RoomConfiguration({ agents: [new RoomAgentDispatch({ agentName: "stock-echo" })] });
  return { url, token: await access.toJwt() };
}

/** Joins with a silent microphone. @returns the time until the agent is heard, in ms */
async function untilGreeting({ url, token }: Join): Promise<number> {
  const room = new Room();
  const sounds: Sound[] = [];
  room.on(RoomEvent.TrackSubscribed, (track, _, { identity }) => heardIn(track, identity, sounds));
  const joinedAt = performance.now();
  try {
    await room.connect(url, token, { autoSubscribe: true, dynacast: false });
    const microphone = LocalAudioTrack.createAudioTrack("microphone", new AudioSource(48_000, 1));
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE });
    await room.localParticipant?.publishTrack(microphone, options);
    const first = await until(() => sounds[0], {
      what: "the greeting is heard",
      timeoutMs: TIMEOUT_MS,
      everyMs: 5,
    });
    return first.atMs - joinedAt;
  } finally {
    await room.disconnect();
  }
}

async function poolIsFull(): Promise<void> {
  const isFull = async () => {
    const { busy, hot, warm } = (await stack.get("/api/health")).body.profiles?.echo ?? {};
    return busy === 0 && hot + warm >= IDLE && hot >= 1;
  };
  await until(isFull, { what: `${IDLE} idle agents`, timeoutMs: TIMEOUT_MS });
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
