// Which processes there are, and whether one is still the one that it was.
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
 * What tells a process from every other that ever had its pid: when it was started. Undefined: there is no
 * such process, or only what is left of it until its parent looks (a zombie).
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

/** The living processes of some process groups. */
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

/** The living processes that were started with this in their environment; Linux only, none elsewhere. */
export function pidsWithEnvironment(name: string, value: string): number[] {
  if (!hasProc) return [];
  const wanted = `${name}=${value}`;
  return allPids().filter((pid) => readProc(pid, "environ")?.split("\0").includes(wanted));
}

const allPids = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** The parent of a process; undefined when there is no such process, or no way to know. */
export const parentOf = (pid: number): number | undefined => procStat(pid)?.parent;

/** The name of its program, as `sh`. */
export const programOf = (pid: number): string | undefined => readProc(pid, "comm")?.trim();

/** Fields of /proc/<pid>/stat (proc(5)); the name, which may hold anything, ends at the last parenthesis. */
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

/** Start times count from the boot, so that of another boot must not be taken for the same. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
