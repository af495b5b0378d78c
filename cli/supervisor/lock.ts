// Locks a data directory for one supervisor, because two NATS servers on the same files would destroy them.
import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSameProcess, processIdentity } from "./processes.ts";

interface Holder {
  readonly pid: number;
  /** Distinguishes the process from a later one with the same pid. */
  readonly identity: string;
}

/** Another process holds the lock. The message names the process and what to do. */
export class LockedError extends Error {
  override readonly name = "LockedError";
}

/**
 * Locks the directory for this process. Replaces the lock of a dead process.
 *
 * The lock is created by a hard link, which fails if the file exists, so the lock is always complete.
 *
 * @returns a function that releases the lock, unless another process holds it by then
 * @throws LockedError
 */
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  const lock = join(directory, "lock.json");
  const own = JSON.stringify({ pid: process.pid, identity: processIdentity(process.pid) ?? "" });
  const temporary = join(directory, `.lock-${process.pid}-${randomBytes(4).toString("hex")}`);
  writeFileSync(temporary, own);
  try {
    // Each round acquires the lock, throws, or removes the lock of a dead process.
    for (let round = 0; round < 10; round++) {
      if (link(temporary, lock)) return () => release(lock, own);
      const existing = readText(lock);
      if (existing === undefined) continue;
      const holder = parse(existing);
      if (holder !== undefined && isSameProcess(holder.pid, holder.identity)) {
        throw new LockedError(
          `Greenroom is already running on ${directory} (process ${holder.pid}). Stop it, or set ` +
            "GREENROOM_DATA_DIR to another directory and GREENROOM_PORT to another port.",
        );
      }
      moveAway(lock, existing);
    }
    throw new LockedError(`${lock} changes constantly, because several processes are starting. Retry.`);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Removes a dead process's lock. If another start was faster, the moved file is its valid lock, so it is restored. */
function moveAway(lock: string, stale: string): void {
  const aside = `${lock}.${process.pid}.stale`;
  try {
    renameSync(lock, aside);
  } catch {
    return;
  }
  if (readText(aside) !== stale) link(aside, lock);
  rmSync(aside, { force: true });
}

function release(lock: string, own: string): void {
  if (readText(lock) === own) rmSync(lock, { force: true });
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function parse(text: string): Holder | undefined {
  try {
    const { pid, identity } = JSON.parse(text) as Partial<Holder>;
    return typeof pid === "number" && typeof identity === "string" ? { pid, identity } : undefined;
  } catch {
    return undefined;
  }
}
