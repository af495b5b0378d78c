// Identifies processes of the run by /proc.
import { readFileSync } from "node:fs";

/** The children of an agent process (the TypeScript compiler) inherit the first variable but not the second. */
export function isAgentProcess(pid: number): boolean {
  const environment = `\0${read(pid, "environ")}`;
  return environment.includes("\0PROCESS_START=") && environment.includes("\0NODE_CHANNEL_FD=");
}

/** Returns the command line, cut to 200 characters. */
export const programOf = (pid: number): string => read(pid, "cmdline").replaceAll("\0", " ").slice(0, 200);

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // The process has just ended.
  }
}
