// Checks and descriptions of input that somebody else wrote.
import type { z } from "zod";

/** The first faults of input that a schema refused, each with its field: "metadata.size: expected number". */
export const faultsOf = ({ issues }: z.core.$ZodError, most = 5): string =>
  issues
    .slice(0, most)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`))
    .join("; ");

/** Whether more than `levels` objects and arrays are nested. Does not recurse: it protects code that does. */
export function isDeeperThan(levels: number, value: unknown): boolean {
  let layer = [value].filter(isContainer);
  for (let depth = 0; layer.length > 0; depth++) {
    if (depth === levels) return true;
    layer = layer.flatMap((container) => Object.values(container).filter(isContainer));
  }
  return false;
}

const isContainer = (value: unknown): value is object => typeof value === "object" && value !== null;
