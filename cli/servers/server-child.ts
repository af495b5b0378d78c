// Shared by the starts of NATS and LiveKit: choosing a port, and waiting until the server is running.
import type { Log } from "../../libs/runtime/log.ts";
import type { Child } from "../supervisor/child.ts";
import type { LocalConfig } from "../supervisor/config.ts";
import { StartError } from "../supervisor/start-error.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { freePort, isPortFree, keepPort } from "./ports.ts";

export interface ServerDeps {
  readonly config: LocalConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly log: Log;
  readonly supervisor: Supervisor;
  /** Whether the supervisor was asked to stop. */
  readonly isStopping: () => boolean;
}

export interface PortChoice {
  /** The server, for messages. */
  readonly what: string;
  readonly wanted: number | undefined;
  readonly preferred: number;
}

export const LOOPBACK = "127.0.0.1";
const READY_MS = 30_000;

/**
 * @param wanted the port of a setting; without it, the preferred port or any free one
 * @throws StartError if the wanted port is in use
 */
export async function choosePort({ what, wanted, preferred }: PortChoice, log: Log): Promise<number> {
  if (wanted === 0) return await freePort(LOOPBACK);
  if (await isPortFree(wanted ?? preferred, LOOPBACK)) {
    keepPort(wanted ?? preferred);
    return wanted ?? preferred;
  }
  if (wanted !== undefined)
    throw new StartError(
      `${what} can't listen on ${LOOPBACK}:${wanted}: the port is in use. Choose another one.`,
    );
  const port = await freePort(LOOPBACK);
  log.warn({ taken: preferred, port }, `port ${preferred} is in use; ${what} uses ${port}`);
  return port;
}

/** Waits until the server is running. @throws StartError with the reason from its log */
export async function running(child: Child, what: string): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (child.status?.status !== "running") {
    if (child.status?.status === "failed") throw new StartError(`${what} failed: ${child.status.reason}.`);
    if (performance.now() > deadline) {
      const reason = child.status?.reason ?? "it does not answer";
      throw new StartError(`${what} was not ready within ${READY_MS / 1000} s: ${reason}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
