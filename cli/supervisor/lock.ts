// One supervisor a data directory: two on the same NATS files would destroy them.
import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isSameProcess, processIdentity } from "./processes.ts";

interface Holder {
  readonly pid: number;
  /** Tells this process from a later one with the same pid. */
  readonly identity: string;
}

/** Somebody else holds the lock; the message says who and what to do. */
export class LockedError extends Error {
  override readonly name = "LockedError";
}

/**
 * Takes the directory for this process. A lock whose process is dead is taken over.
 *
 * The lock is linked into place, which fails when there is one; so it always appears whole.
 *
 * @returns what gives it back; it does nothing when the lock is somebody else's by then.
 * @throws LockedError
 */
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true });
  const lock = join(directory, "lock.json");
  const mine = JSON.stringify({ pid: process.pid, identity: processIdentity(process.pid) ?? "" });
  const temporary = join(directory, `.lock-${process.pid}-${randomBytes(4).toString("hex")}`);
  writeFileSync(temporary, mine);
  try {
    // Each round ends with the lock, with an error, or with a dead one's lock out of the way.
    for (let round = 0; round < 10; round++) {
      if (link(temporary, lock)) return () => release(lock, mine);
      const theirs = readText(lock);
      if (theirs === undefined) continue;
      const holder = parse(theirs);
      if (holder !== undefined && isSameProcess(holder.pid, holder.identity)) {
        throw new LockedError(
          `Greenroom already runs on ${directory} (process ${holder.pid}). Stop that one, or set ` +
            "GREENROOM_DATA_DIR to another directory and GREENROOM_PORT to another port.",
        );
      }
      moveAway(lock, theirs);
    }
    throw new LockedError(`${lock} changes all the time: several others are starting. Try again.`);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Removes a dead one's lock. If another start was faster, what was moved is its living lock: put it back. */
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

function release(lock: string, mine: string): void {
  if (readText(lock) === mine) rmSync(lock, { force: true });
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
