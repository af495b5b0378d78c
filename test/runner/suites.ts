// The suites (each is a vitest project) and their order.

/** The suites of `npm test`: a sample of every kind of evidence. */
export const quickSuites = [
  "unit",
  "architecture",
  "simulation",
  "conformance",
  "system",
  "browser",
  "bench",
] as const;

/** The additional suites of `npm run test:full`, the slowest and rarest last. */
export const fullSuites = [
  "conformance-full",
  "system-full",
  "browser-full",
  "simulation-full",
  "chaos",
  "cluster",
] as const;

/** The suites that `npm run test:full` repeats on Node.js 24. */
export const node24Suites = ["unit", "system"] as const;

/** The number of test files of a suite that run in parallel. */
export const workersOf = (suite: string): number =>
  (quickSuites as readonly string[]).includes(suite) ? 2 : 1;
