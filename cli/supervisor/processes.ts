// Reads the table of processes, and recognizes a process whose pid was reused.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly startedAt: string;
}

const hasProc = existsSync("/proc/self/stat");

/**
 * Identifies a process among all that ever have its pid, by its start time. Undefined if the process does not exist
 * or is a zombie.
 */
export function processIdentity(pid: number): string | undefined {
  if (hasProc) {
    const stat = procStat(pid);
    if (stat === undefined || stat.state === "Z" || stat.state === "X") return undefined;
    return `${bootId()}.${stat.startedAt}`;
  }
  try {
    return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Whether the process with this pid is still the same one. */
export const isSameProcess = (pid: number, identity: string): boolean => processIdentity(pid) === identity;

/** The live processes of some process groups. */
export function membersOfGroups(groups: ReadonlySet<number>): number[] {
  if (hasProc) {
    return allPids().filter((pid) => {
      const stat = procStat(pid);
      return stat !== undefined && stat.state !== "Z" && groups.has(stat.group);
    });
  }
  const listing = execFileSync("ps", ["-A", "-o", "pid=,pgid=,stat="], { encoding: "utf8" });
  return listing.split("\n").flatMap((line) => {
    const [pid, group, state] = line.trim().split(/\s+/);
    return groups.has(Number(group)) && !state?.startsWith("Z") ? [Number(pid)] : [];
  });
}

/** The live processes with this variable in their environment. Linux only; empty elsewhere. */
export function pidsWithEnvironment(name: string, value: string): number[] {
  if (!hasProc) return [];
  const wanted = `${name}=${value}`;
  return allPids().filter((pid) => readProc(pid, "environ")?.split("\0").includes(wanted));
}

const allPids = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** The parent of a process. Undefined if the process does not exist, or on systems without /proc. */
export const parentOf = (pid: number): number | undefined => procStat(pid)?.parent;

/** The name of a process's program, for example `sh`. */
export const programOf = (pid: number): string | undefined => readProc(pid, "comm")?.trim();

/** Fields of /proc/<pid>/stat (proc(5)). The program's name may contain anything and ends at the last parenthesis. */
function procStat(pid: number): Stat | undefined {
  const text = readProc(pid, "stat");
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    state: fields[0]!,
    parent: Number(fields[1]),
    group: Number(fields[2]),
    startedAt: fields[19]!,
  };
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}

/** Start times are relative to the boot, so the identity includes the boot. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
