// Reads from /proc whether a process is stopped, and how long it ran and waited for a CPU.
import { readdirSync, readFileSync } from "node:fs";

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

/** Of a thread, or of several together, since the process began. */
export interface CpuTimes {
  readonly ranMs: number;
  /** The time for which a thread was ready to run and had to wait. */
  readonly waitedMs: number;
}

/**
 * The times of the main thread. They tell a process that computes, or gets no CPU, from one that hangs.
 * @returns undefined on systems without /proc
 */
export function cpuTimes(pid: number | undefined): CpuTimes | undefined {
  return pid === undefined ? undefined : schedstat(`/proc/${pid}/schedstat`);
}

/** The times of all threads that the process has now. Node.js loads TypeScript in a thread besides the main one. */
export function threadTimes(pid: number | undefined): CpuTimes | undefined {
  if (pid === undefined) return undefined;
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((id) =>
      schedstat(`/proc/${pid}/task/${id}/schedstat`),
    );
    const sum = (of: keyof CpuTimes) => threads.reduce((all, thread) => all + (thread?.[of] ?? 0), 0);
    return { ranMs: sum("ranMs"), waitedMs: sum("waitedMs") };
  } catch {
    return undefined;
  }
}

/** The first two numbers are in ns (Linux, Documentation/scheduler/sched-stats). */
function schedstat(file: string): CpuTimes | undefined {
  try {
    const [ranNs, waitedNs] = readFileSync(file, "utf8").split(" ").map(Number);
    if (!Number.isFinite(ranNs) || !Number.isFinite(waitedNs)) return undefined;
    return { ranMs: Number(ranNs) / 1e6, waitedMs: Number(waitedNs) / 1e6 };
  } catch {
    return undefined;
  }
}
