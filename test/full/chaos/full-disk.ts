// A small disk for the data of one server, which a test can fill and free.
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { makeLoopDisk } from "../../kit/servers/loop-disk.ts";

export interface SmallDisk {
  readonly dir: string;
  /** Fills the disk, so that no write succeeds. */
  fill(): void;
  free(): void;
  /** Unmounts and removes the disk. */
  remove(): Promise<void>;
}

const PIECES = [1024 * 1024, 64 * 1024, 4096];

/** @throws Error if the machine doesn't allow mounting a disk; see `whyNoLoopDisk` */
export async function makeSmallDisk(sizeMb: number): Promise<SmallDisk> {
  const disk = await makeLoopDisk(sizeMb);
  const filler = join(disk.dir, "filler");
  return {
    dir: disk.dir,
    fill() {
      const file = openSync(filler, "w");
      try {
        // Writes smaller and smaller pieces, until not even one block fits.
        for (const size of PIECES) writeUntilFull(file, Buffer.alloc(size, "x"));
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler, { force: true }),
    remove: () => disk.remove(),
  };
}

function writeUntilFull(file: number, piece: Buffer): void {
  try {
    for (;;) writeSync(file, piece);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
