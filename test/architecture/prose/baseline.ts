// How many findings each file may have while the prose is being rewritten: the number never rises.
import { readFileSync, writeFileSync } from "node:fs";
import type { Finding } from "./rules.ts";

/** Findings by the path of their file. */
export type Counts = Readonly<Record<string, number>>;

export interface Baseline {
  readonly prose: Counts;
  readonly names: Counts;
}

const file = new URL("../prose-baseline.json", import.meta.url);

export const readBaseline = (): Baseline => JSON.parse(readFileSync(file, "utf8"));

export const writeBaseline = (baseline: Baseline): void =>
  writeFileSync(file, `${JSON.stringify(baseline, null, 2)}\n`);

export function countByFile(findings: readonly Finding[]): Counts {
  const counts: Record<string, number> = {};
  for (const { path } of findings) counts[path] = (counts[path] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A sentence for each file that has more findings than its baseline allows, or fewer. */
export function compare(counts: Counts, baseline: Counts): string[] {
  return [...new Set([...Object.keys(counts), ...Object.keys(baseline)])].sort().flatMap((path) => {
    const count = counts[path] ?? 0;
    const allowed = baseline[path] ?? 0;
    if (count > allowed) {
      return [`${path} has ${count} findings, ${allowed} allowed: npm run prose -- ${path}`];
    }
    return count < allowed ? [`${path} has improved (${allowed} → ${count}): npm run prose -- --update`] : [];
  });
}

/** The baseline after files improved; a file that got worse keeps its old number. */
export const lowered = (counts: Counts, baseline: Counts): Counts =>
  Object.fromEntries(
    Object.entries(baseline)
      .map(([path, allowed]) => [path, Math.min(allowed, counts[path] ?? 0)] as const)
      .filter(([, allowed]) => allowed > 0),
  );
