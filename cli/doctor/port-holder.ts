// Finds the program that listens on a port, among the processes of this user on Linux.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { programOf } from "../supervisor/processes.ts";

export interface PortHolder {
  readonly pid: number;
  readonly program: string;
}

/**
 * Best effort, within milliseconds: it may look at many thousands of files, which take microseconds each.
 *
 * @returns undefined if unknown: a process of another user, or a system other than Linux
 */
export function findPortHolder(port: number): PortHolder | undefined {
  const tables = ["tcp", "tcp6"].map((name) => orElse("", () => readFileSync(`/proc/net/${name}`, "utf8")));
  const sockets = new Set(
    tables.flatMap((table) => listeningInodes(table, port)).map((inode) => `socket:[${inode}]`),
  );
  if (sockets.size === 0) return undefined;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const files = orElse<string[]>([], () => readdirSync(`/proc/${pid}/fd`));
    const holds = files.some((file) =>
      sockets.has(orElse("", () => readlinkSync(`/proc/${pid}/fd/${file}`))),
    );
    if (holds) return { pid: Number(pid), program: programOf(Number(pid)) ?? "a program" };
  }
  return undefined;
}

/** Processes and their files may disappear at any time. */
function orElse<T>(otherwise: T, look: () => T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}

const LISTENS = "0A";

/** Inodes of the sockets that listen on a port, from a table in the format of /proc/net/tcp (proc(5)). */
export function listeningInodes(table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return table.split("\n").flatMap((line) => {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    return local?.endsWith(`:${hex}`) === true && state === LISTENS && inode !== undefined ? [inode] : [];
  });
}
