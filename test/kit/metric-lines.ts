// Lines of one metric in Prometheus's text format.
import type { Metrics } from "../../libs/runtime/metrics.ts";

/** The lines of one metric without its help text. */
export const linesOf = async (metrics: Metrics, name: string): Promise<string[]> =>
  linesIn(await metrics.text(), name);

export const linesIn = (text: string, name: string): string[] =>
  text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
