// What starting NATS and starting LiveKit share: a free port, and waiting until the server runs.
import type { Log } from "../../libs/runtime/log.ts";
import type { Child } from "../supervisor/child.ts";
import type { LocalConfig } from "../supervisor/config.ts";
import { StartError } from "../supervisor/start-error.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { freePort, isPortFree } from "./ports.ts";

export interface ServerDeps {
  readonly config: LocalConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly log: Log;
  readonly supervisor: Supervisor;
  /** Whether it was told to stop meanwhile. */
  readonly isStopping: () => boolean;
}

export const LOOPBACK = "127.0.0.1";
const READY_MS = 30_000;

export async function choosePort(what: string, preferred: number, log: Log): Promise<number> {
  if (await isPortFree(preferred, LOOPBACK)) return preferred;
  const port = await freePort(LOOPBACK);
  log.warn({ taken: preferred, port }, `port ${preferred} is taken; ${what} uses ${port}`);
  return port;
}

/** Waits until it runs; its log tells why when it doesn't. */
export async function running(child: Child, what: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (child.status?.status !== "running") {
    if (child.status?.status === "failed")
      throw new StartError(`${what} does not run: ${child.status.reason}.`);
    if (performance.now() > deadline) {
      const reason = child.status?.reason ?? "it does not answer";
      throw new StartError(`${what} did not run within ${READY_MS / 1000} s: ${reason}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
