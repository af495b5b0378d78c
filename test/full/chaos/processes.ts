// What the run's processes are, by what Linux tells of them.
import { readFileSync } from "node:fs";

/** A stage's own children (the compiler of its TypeScript) inherit the first of these, and not the second. */
export function isStage(pid: number): boolean {
  const environment = `\0${read(pid, "environ")}`;
  return environment.includes("\0PROCESS_START=") && environment.includes("\0NODE_CHANNEL_FD=");
}

/** Its command line, in short. */
export const programOf = (pid: number): string => read(pid, "cmdline").replaceAll("\0", " ").slice(0, 200);

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // It has just ended.
  }
}
