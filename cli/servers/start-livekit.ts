// Decides which LiveKit is used, and starts one if none is given.
import { join } from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import { isLiveKitGiven } from "../supervisor/config.ts";
import { spawnGuarded } from "../supervisor/guard.ts";
import { BinaryError, findBinary } from "./binaries.ts";
import { livekitServer } from "./binary-specs.ts";
import { isLiveKitReady, livekitKey, writeLiveKitConfig } from "./livekit.ts";
import { choosePort, LOOPBACK, running, type ServerDeps } from "./server-child.ts";

/** It waits for whoever is still in a room, and by then no agent is. */
const LIVEKIT_STOP_MS = 2000;

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
    const binary = await findBinary(livekitServer, { env, report: (line) => log.info(line) });
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
