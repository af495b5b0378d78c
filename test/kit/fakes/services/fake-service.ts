// A service that only starts and stops like a real one, controlled by FAKE_* variables.
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { readConfig } from "../../../../libs/runtime/config.ts";
import { type Running, runService } from "../../../../libs/runtime/run-service.ts";

/**
 * FAKE_DIES, FAKE_BAD_SETTINGS, FAKE_NEVER_STOPS: names of services, separated by commas.
 * FAKE_STOPPED_FILE: a file to which each service that stops cleanly appends its name.
 */
const isNamed = (variable: string, name: string): boolean =>
  (process.env[variable] ?? "").split(",").includes(name);

export const runFakeService = (name: string, start: () => Promise<Running>): Promise<void> =>
  runService(name, { stopMs: 60_000 }, async ({ log }) => {
    if (isNamed("FAKE_BAD_SETTINGS", name)) {
      readConfig({}, { ...process.env, GREENROOM_PROT: "1" });
    }
    if (isNamed("FAKE_DIES", name)) throw new Error("FAKE_DIES");
    log.info(
      { natsUrl: process.env.NATS_URL, drainMs: process.env.GREENROOM_DRAIN_TIMEOUT_MS },
      `fake ${name}`,
    );
    const running = await start();
    return {
      health: () => ({ isConnected: true, roles: {} }),
      async stop() {
        await running.stop();
        if (isNamed("FAKE_NEVER_STOPS", name)) await new Promise(() => setInterval(() => {}, 1000));
        if (process.env.FAKE_STOPPED_FILE) appendFileSync(process.env.FAKE_STOPPED_FILE, `${name}\n`);
      },
    };
  });

/**
 * Starts a child of a child, like an agent process is to the supervisor. Nothing ends this process by itself, so its
 * end shows that something ended it. @returns the function that ends it
 */
export function startGrandchild(): () => void {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  return () => child.kill("SIGKILL");
}
