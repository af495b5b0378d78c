// Starts one of the services as a child process.
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Where the services are, whatever directory one starts from. */
export const repositoryRoot = fileURLToPath(new URL("../..", import.meta.url));

/** As an address, so that it is found from any working directory. */
const tsxLoader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

export const mainOf = (service: string): string => `services/${service}/main.ts`;

export const serviceMain = (service: string): string => `${repositoryRoot}${mainOf(service)}`;

/**
 * Its stdout and stderr are pipes, and it has a channel to us: it says `{ type: "running" }` there, and it
 * stops by itself when the channel breaks, which is how it learns that we are gone. It leads a process group
 * of its own, which a Ctrl+C on the terminal doesn't reach.
 */
export function forkService(main: string, env: NodeJS.ProcessEnv): ChildProcess {
  return fork(main, [], {
    execArgv: ["--import", tsxLoader],
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}
