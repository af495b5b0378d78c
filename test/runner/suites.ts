// The suites (each a vitest project) and the order in which they run.

/** One sample of every kind of evidence: `npm test`. */
export const quickSuites = [
  "unit",
  "architecture",
  "simulation",
  "conformance",
  "system",
  "browser",
  "bench",
] as const;

/** The further suites of `npm run test:full`, the slowest and rarest last. */
export const fullSuites = [
  "conformance-full",
  "system-full",
  "browser-full",
  "simulation-full",
  "chaos",
  "cluster",
] as const;

/** The suites that `npm run test:full` repeats on Node 24. */
export const node24Suites = ["unit", "system"] as const;

/** Files of a suite that run at once; the others run one at a time. */
export const workersOf = (suite: string): number =>
  ({ unit: 2, architecture: 2, simulation: 2, conformance: 2 })[suite] ?? 1;
