// The suites, from the fastest to the slowest. `npm test` runs all of them, `npm run check` the first two.
import { defineConfig } from "vitest/config";

const suite = (name: string, options: Record<string, unknown> = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], environment: "node" as const, ...options },
});

/** Real processes and servers: one file at a time, and time enough for a noisy machine. */
const withServers = { testTimeout: 120_000, hookTimeout: 300_000, fileParallelism: false };

/** They run a NATS of their own. */
const withOwnNats = ["local-*", "alone", "containers", "power-loss", "full-disk"];
/** What they show is between Greenroom and others: the store has the same part in it on one node and on three. */
const aboutOthers = ["calls", "diagnostics", "erasure", "livekit-provider", "inbound", "phone-calls"];

export default defineConfig({
  test: {
    projects: [
      suite("unit"),
      suite("architecture"),
      suite("simulation", { testTimeout: 300_000 }),
      suite("conformance", withServers),
      suite("system", withServers),
      // The same on three NATS nodes.
      suite("system-cluster", {
        ...withServers,
        include: ["test/system/**/*.test.ts"],
        exclude: [...withOwnNats, ...aboutOthers].map((name) => `test/system/${name}.test.ts`),
        env: { STACK_NATS_NODES: "3" },
      }),
      suite("browser", withServers),
      // Minutes of faults, and a machine with much to do.
      suite("chaos", { ...withServers, include: ["test/full/chaos/**/*.test.ts"], testTimeout: 900_000 }),
    ],
  },
});
