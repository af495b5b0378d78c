// Uses the configured LiveKit, or starts a local one.
import { join } from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import { isLiveKitGiven } from "../supervisor/config.ts";
import { spawnGuarded } from "../supervisor/guard.ts";
import { BinaryError, findBinary } from "./binaries.ts";
import { livekitServer } from "./binary-specs.ts";
import { isLiveKitReady, livekitKey, writeLiveKitConfig } from "./livekit.ts";
import { choosePort, LOOPBACK, running, type ServerDeps } from "./server-child.ts";

/** LiveKit waits for participants to leave. At this point no agents are left. */
const LIVEKIT_STOP_MS = 2000;

/**
 * Doesn't wait until LiveKit is running, because services load in the meantime and retry their requests. Never fails:
 * without LiveKit the API still works, and reports what is missing.
 */
export async function startLiveKit(
  deps: ServerDeps,
  preferredPort: number,
  webhookUrl: string,
): Promise<Record<string, string>> {
  const { config, env, dataDir, log, supervisor } = deps;
  if (config.LIVEKIT_MOCK_MODE) {
    log.warn("LIVEKIT_MOCK_MODE is set: rooms are simulated and nobody can join them");
    supervisor.report("livekit", "disabled", "LIVEKIT_MOCK_MODE is set: rooms are simulated.");
    return {};
  }
  // The services read its address and key from their environment.
  if (isLiveKitGiven(config)) {
    log.info({ url: config.LIVEKIT_URL }, "using the configured LiveKit");
    return {};
  }
  try {
    const binary = await findBinary(livekitServer, { env, report: (line) => log.info(line) });
    const wanted = config.GREENROOM_LIVEKIT_PORT;
    const port = await choosePort({ what: "LiveKit", wanted, preferred: preferredPort }, log);
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
    void running(child, "livekit-server").then(
      () => log.info({ url }, "LiveKit is running"),
      (error: unknown) =>
        log.warn(`${messageOf(error)} Retrying; sessions can't start until LiveKit is running.`),
    );
    return { LIVEKIT_URL: url, LIVEKIT_API_KEY: key.apiKey, LIVEKIT_API_SECRET: key.apiSecret };
  } catch (error) {
    if (!(error instanceof BinaryError)) throw error;
    log.warn(
      `${error.message}\nThe API starts without LiveKit, so no agent can join a room. To use another LiveKit, set ` +
        "LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET. LIVEKIT_MOCK_MODE=true simulates rooms.",
    );
    supervisor.report("livekit", "disabled", "livekit-server was not found, and LIVEKIT_URL is not set.");
    return {};
  }
}
