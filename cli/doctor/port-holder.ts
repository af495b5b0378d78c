// Which program listens on a port, as Linux tells of the processes of one's own user.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { programOf } from "../supervisor/processes.ts";

export interface PortHolder {
  readonly pid: number;
  readonly program: string;
}

/**
 * Without promises: there may be many thousands of files to look at, of which each takes microseconds.
 *
 * @returns undefined where nobody can tell: another user's process, another system than Linux
 */
export function whoHas(port: number): PortHolder | undefined {
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

/** Processes and their files go while one looks. */
function orElse<T>(otherwise: T, look: () => T): T {
  try {
    return look();
  } catch {
    return otherwise;
  }
}

const LISTENS = "0A";

/** From the table of /proc/net/tcp (proc(5)): the sockets that listen on a port, by their inodes. */
export function listeningInodes(table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return table.split("\n").flatMap((line) => {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    return local?.endsWith(`:${hex}`) === true && state === LISTENS && inode !== undefined ? [inode] : [];
  });
}
