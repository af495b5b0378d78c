// Decides which NATS and LiveKit are used, and starts those that aren't given.
import { join } from "node:path";
import { messageOf } from "../libs/contracts/errors.ts";
import type { Log } from "../libs/process/log.ts";
import { BinaryError, findBinary } from "./binaries.ts";
import { livekitServer, natsServer } from "./binary-specs.ts";
import type { Child } from "./child.ts";
import { isLiveKitGiven, type LocalConfig } from "./config.ts";
import { spawnGuarded } from "./guard.ts";
import { isLiveKitReady, livekitKey, writeLiveKitConfig } from "./livekit.ts";
import { isNatsReady, writeNatsConfig } from "./nats.ts";
import { freePort, isPortFree } from "./ports.ts";
import { StartError } from "./start-error.ts";
import type { Supervisor } from "./supervisor.ts";

export interface ServerDeps {
  readonly config: LocalConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly log: Log;
  readonly supervisor: Supervisor;
}

const LOOPBACK = "127.0.0.1";
const READY_MS = 30_000;
const NATS_STOP_MS = 10_000;
/** It waits for whoever is still in a room, and by then no agent is. */
const LIVEKIT_STOP_MS = 2000;

/** @returns the settings by which the services find it @throws StartError when it doesn't come up */
export async function startNats(deps: ServerDeps, preferredPort: number): Promise<Record<string, string>> {
  const { config, env, dataDir, log, supervisor } = deps;
  if (config.NATS_URL !== undefined) {
    log.info({ url: config.NATS_URL }, "NATS is given; none is started");
    return { NATS_URL: config.NATS_URL };
  }
  const binary = await findBinary(natsServer, { env, say: (line) => log.info(line) });
  const port = await choosePort("NATS", preferredPort, log);
  const dir = join(dataDir, "nats");
  const { file, monitorUrl } = await writeNatsConfig({
    dir,
    port,
    syncInterval: config.GREENROOM_NATS_SYNC,
  });
  const child = supervisor.start({
    name: "nats",
    start: () => spawnGuarded(binary, ["-c", file]),
    isReady: () => isNatsReady(monitorUrl),
    stopMs: NATS_STOP_MS,
  });
  await running(child, "nats-server");
  const url = `nats://${LOOPBACK}:${port}`;
  log.info({ url, monitorUrl }, "NATS runs");
  return { NATS_URL: url };
}

/** Never fails: without LiveKit the API still serves, and says what is missing. */
export async function startLiveKit(
  deps: ServerDeps,
  preferredPort: number,
  webhookUrl: string,
): Promise<Record<string, string>> {
  const { config, env, dataDir, log, supervisor } = deps;
  if (config.LIVEKIT_MOCK_MODE) {
    log.warn("LIVEKIT_MOCK_MODE: rooms are simulated; nobody can join one");
    supervisor.say("livekit", "disabled", "LIVEKIT_MOCK_MODE is set: rooms are simulated.");
    return {};
  }
  // The services have its address and key in their environment already.
  if (isLiveKitGiven(config)) {
    log.info({ url: config.LIVEKIT_URL }, "LiveKit is given; none is started");
    return {};
  }
  try {
    const binary = await findBinary(livekitServer, { env, say: (line) => log.info(line) });
    const port = await choosePort("LiveKit", preferredPort, log);
    const dir = join(dataDir, "livekit");
    const key = await livekitKey(dir);
    const isVerbose = ["trace", "debug"].includes(config.GREENROOM_LOG_LEVEL);
    const logLevel = isVerbose ? "debug" : "warn";
    const file = await writeLiveKitConfig({ dir, port, key, webhookUrl, logLevel });
    const child = supervisor.start({
      name: "livekit",
      start: () => spawnGuarded(binary, ["--config", file]),
      isReady: () => isLiveKitReady(port),
      stopMs: LIVEKIT_STOP_MS,
    });
    const url = `ws://${LOOPBACK}:${port}`;
    await running(child, "livekit-server").then(
      () => log.info({ url }, "LiveKit runs"),
      (error: unknown) => log.warn(`${messageOf(error)} It is tried again; sessions can't start until then.`),
    );
    return { LIVEKIT_URL: url, LIVEKIT_API_KEY: key.apiKey, LIVEKIT_API_SECRET: key.apiSecret };
  } catch (error) {
    if (!(error instanceof BinaryError)) throw error;
    log.warn(
      `${error.message}\nThe API starts without LiveKit; no agent can join a room. A LiveKit elsewhere is used ` +
        "with LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET; LIVEKIT_MOCK_MODE=true simulates rooms.",
    );
    supervisor.say("livekit", "disabled", "There is no livekit-server, and no LIVEKIT_URL is set.");
    return {};
  }
}

async function choosePort(what: string, preferred: number, log: Log): Promise<number> {
  if (await isPortFree(preferred, LOOPBACK)) return preferred;
  const port = await freePort(LOOPBACK);
  log.warn({ taken: preferred, port }, `port ${preferred} is taken; ${what} uses ${port}`);
  return port;
}

/** Waits until it runs; its log tells why when it doesn't. */
async function running(child: Child, what: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (child.status?.status !== "running") {
    if (child.status?.status === "failed") throw new StartError(`${what} does not run: ${child.status.why}.`);
    if (performance.now() > deadline) {
      const why = child.status?.why ?? "it does not answer";
      throw new StartError(`${what} did not run within ${READY_MS / 1000} s: ${why}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
