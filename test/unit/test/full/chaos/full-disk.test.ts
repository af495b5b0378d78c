// The small disk of chaos runs, which is full on demand.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeSmallDisk } from "../../../../full/chaos/full-disk.ts";
import { whyNoLoopDisk } from "../../../../kit/servers/loop-disk.ts";

const problem = await whyNoLoopDisk();

test.skipIf(problem !== undefined)(
  "rejects writes while the disk is full, and accepts them after it was freed",
  async () => {
    const disk = await makeSmallDisk(16);
    try {
      const write = (name: string) =>
        writeFileSync(join(disk.dir, name), Buffer.alloc(8192, "y"), { flush: true });
      write("before");
      disk.fill();
      expect(() => write("while full")).toThrow(/ENOSPC/);
      disk.free();
      write("after");
    } finally {
      await disk.remove();
    }
  },
);
