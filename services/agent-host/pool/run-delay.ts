// How long a process has waited for a CPU: what tells one that gets none from one that hangs.
import { readFileSync } from "node:fs";

/**
 * Milliseconds that the main thread was ready to run and had to wait, since the process began. From the second
 * number of /proc/<pid>/schedstat, in ns (Linux, Documentation/scheduler/sched-stats).
 *
 * @returns undefined where the system doesn't tell
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
