// Validation of external input.
import type { z } from "zod";

/** The first problems of a rejected input, each with its field: "metadata.size: expected number". */
export const faultsOf = ({ issues }: z.core.$ZodError, most = 5): string =>
  issues
    .slice(0, most)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`))
    .join("; ");

/** Whether objects and arrays are nested deeper than `levels`. Not recursive, because it protects recursive code. */
export function isDeeperThan(levels: number, value: unknown): boolean {
  // Layer by layer in one list: every message is checked, and a list for each layer would take longer than its parsing.
  const found = [value].filter(isContainer);
  let next = 0;
  for (let depth = 0; next < found.length; depth++) {
    if (depth === levels) return true;
    for (const end = found.length; next < end; next++)
      for (const inner of Object.values(found[next]!)) if (isContainer(inner)) found.push(inner);
  }
  return false;
}

const isContainer = (value: unknown): value is object => typeof value === "object" && value !== null;
