// Starts one of the services as a child process.
import { type ChildProcess, fork } from "node:child_process";
import { compiledFile } from "../../libs/runtime/compiled.ts";

export const mainOf = (service: string): string => `services/${service}/main.ts`;

export const serviceMain = (service: string): string => compiledFile(mainOf(service));

/**
 * Its stdout and stderr are pipes, and it has a channel to us: it says `{ type: "running" }` there, and it
 * stops by itself when the channel breaks, which is how it learns that we are gone. It leads a process group
 * of its own, which a Ctrl+C on the terminal doesn't reach.
 */
export function forkService(main: string, env: NodeJS.ProcessEnv): ChildProcess {
  return fork(main, [], {
    // Options of this process, e.g. a loader of TypeScript, are not passed on.
    execArgv: [],
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}
