// Which program listens on a port, as Linux tells of the processes of one's own user.
import { readdir, readFile, readlink } from "node:fs/promises";
import { programOf } from "../processes.ts";

export interface PortHolder {
  readonly pid: number;
  readonly program: string;
}

/** @returns undefined where nobody can tell: another user's process, another system than Linux */
export async function whoHas(port: number): Promise<PortHolder | undefined> {
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
  );
  const sockets = new Set(
    tables.flatMap((table) => listeningInodes(table, port)).map((inode) => `socket:[${inode}]`),
  );
  if (sockets.size === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const files = await readdir(`/proc/${pid}/fd`).catch((): string[] => []);
    for (const file of files) {
      const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => "");
      if (sockets.has(target)) return { pid: Number(pid), program: programOf(Number(pid)) ?? "a program" };
    }
  }
  return undefined;
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
