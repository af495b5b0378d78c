// Wrong wall clocks for single processes, changed while they run. Monotonic clocks stay as they are.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const preload = fileURLToPath(new URL("./shift-clock-preload.mjs", import.meta.url));

export interface ShiftedClocks {
  /** To be added to the environment of the child of this name; its own children inherit it. */
  envOf(child: string): Record<string, string>;
  /** From within 250 ms on the child's clock is wrong by so much, into the future if positive. */
  shift(child: string, ms: number): void;
  /** All clocks are right again. */
  heal(): void;
}

/** @param dir where it may keep a small file a child */
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
