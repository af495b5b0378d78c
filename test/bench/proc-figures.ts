// Memory and CPU time of processes, from /proc. Linux only.
import { readFileSync } from "node:fs";

export interface ProcFigures {
  readonly pid: number;
  /** For example `gateway` or `agent process`. */
  readonly name: string;
  /** Proportional set size in MB: memory that processes share counts once. */
  readonly pssMb: number;
  readonly rssMb: number;
  /** CPU time since the start of the process, in ms. */
  readonly cpuMs: number;
}

/** The clock of /proc/<pid>/stat has 100 ticks a second on every Linux (USER_HZ). */
const TICK_MS = 10;

/** @returns undefined for a process that has just ended */
export function figuresOf(pid: number): ProcFigures | undefined {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const kilobytes = (field: string) =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
    return {
      pid,
      name: nameOf(pid),
      pssMb: kilobytes("Pss") / 1024,
      rssMb: kilobytes("Rss") / 1024,
      cpuMs: cpuMsOf(pid),
    };
  } catch {
    return undefined;
  }
}

function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in brackets may contain spaces; the state is the first field after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [user, system] = [fields[11], fields[12]];
  return (Number(user) + Number(system)) * TICK_MS;
}

function nameOf(pid: number): string {
  const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  const line = [program, ...args].join(" ");
  for (const server of ["nats-server", "livekit-server"])
    if (program.endsWith(server) || program.includes(`${server}-`)) return server;
  if (/^npm\b/.test(program)) return "npm";
  if (program === "sh" || program.endsWith("/sh")) return "shell";
  if (program.includes("esbuild")) return "esbuild";
  if (line.includes("agent-process")) return "agent process";
  return (
    /^greenroom-?([a-z-]*)/.exec(program)?.[1] ||
    (program.startsWith("greenroom") ? "supervisor" : line.trim())
  );
}
