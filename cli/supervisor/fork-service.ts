// Starts a service as a child process.
import { type ChildProcess, fork } from "node:child_process";
import { compiledFile } from "../../libs/runtime/compiled.ts";

export const mainOf = (service: string): string => `services/${service}/main.ts`;

export const serviceMain = (service: string): string => compiledFile(mainOf(service));

/**
 * stdout and stderr of the child are pipes. The child sends `{ type: "running" }` on the IPC channel, and stops when
 * the channel breaks, because its supervisor is then gone. The child leads its own process group, so a Ctrl+C on the
 * terminal does not reach it.
 */
export function forkService(main: string, env: NodeJS.ProcessEnv): ChildProcess {
  return fork(main, [], {
    // Options of this process, for example a TypeScript loader, are not passed on.
    execArgv: [],
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}
