// Shifts the wall clocks of single processes while they run. Monotonic clocks stay unchanged.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const preload = fileURLToPath(new URL("./shift-clock-preload.mjs", import.meta.url));

export interface ShiftedClocks {
  /** The environment variables of a child, which its own children inherit. */
  envOf(child: string): Record<string, string>;
  /** Shifts a child's clock within 250 ms, into the future if `ms` is positive. */
  shift(child: string, ms: number): void;
  /** Sets all clocks right. */
  heal(): void;
}

/** @param dir a directory for one small file per child */
export function createShiftedClocks(dir: string): ShiftedClocks {
  const wrong = new Set<string>();
  const fileOf = (child: string): string => join(dir, `clock-of-${child}`);
  return {
    envOf: (child) => ({
      CHAOS_CLOCK_FILE: fileOf(child),
      NODE_OPTIONS: [process.env.NODE_OPTIONS ?? "", `--import ${preload}`].join(" ").trim(),
    }),
    shift(child, ms) {
      wrong.add(child);
      writeFileSync(fileOf(child), String(ms));
    },
    heal() {
      for (const child of wrong) rmSync(fileOf(child), { force: true });
      wrong.clear();
    },
  };
}
