// A small disk for one server's data, which can be filled up and freed again.
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { makeLoopDisk } from "../../kit/servers/loop-disk.ts";

export interface SmallDisk {
  readonly dir: string;
  /** Nothing more can be written to it from now on. */
  fill(): void;
  free(): void;
  /** Unmounts and removes it. */
  remove(): Promise<void>;
}

const PIECES = [1024 * 1024, 64 * 1024, 4096];

/** @throws Error when this machine doesn't let us mount one; see `whyNoLoopDisk` */
export async function makeSmallDisk(sizeMb: number): Promise<SmallDisk> {
  const disk = await makeLoopDisk(sizeMb);
  const filler = join(disk.dir, "filler");
  return {
    dir: disk.dir,
    fill() {
      const file = openSync(filler, "w");
      try {
        // Smaller and smaller pieces, until not even one block fits.
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
