// Which suites there are (each a vitest project), and in which order they run.

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

/** What `npm run test:full` runs besides, the slowest and rarest last. */
export const fullSuites = [
  "conformance-full",
  "system-full",
  "browser-full",
  "simulation-full",
  "chaos",
  "cluster",
] as const;

/** Files of a suite that run at once; the others run one at a time. */
export const workersOf = (suite: string): number =>
  ({ unit: 2, architecture: 2, simulation: 2, conformance: 2 })[suite] ?? 1;
