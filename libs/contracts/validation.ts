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
  let layer = [value].filter(isContainer);
  for (let depth = 0; layer.length > 0; depth++) {
    if (depth === levels) return true;
    layer = layer.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return false;
}

const isContainer = (value: unknown): value is object => typeof value === "object" && value !== null;
