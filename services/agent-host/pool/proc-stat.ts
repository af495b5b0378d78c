// Reads from /proc whether a process is stopped, and how long it has waited for a CPU.
import { readFileSync } from "node:fs";

/** Whether a process was stopped, for example by SIGSTOP. Always false on systems without /proc, such as macOS. */
export function isStopped(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // "1234 (a name) T …": the name may contain parentheses. A small "t" is a debugger's stop.
    return stat.charAt(stat.lastIndexOf(")") + 2) === "T";
  } catch {
    return false;
  }
}

/**
 * The time in ms that the main thread was ready to run and had to wait since the process began. It is the second number
 * of /proc/<pid>/schedstat, in ns (Linux, Documentation/scheduler/sched-stats). It tells a process that gets no CPU from
 * one that hangs.
 *
 * @returns undefined on systems without that file
 */
export function runDelayMs(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const waitedNs = Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]);
    return Number.isFinite(waitedNs) ? waitedNs / 1e6 : undefined;
  } catch {
    return undefined;
  }
}
