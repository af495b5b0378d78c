// The suites as vitest projects; test/runner chooses the suites of a command.
import { defineConfig } from "vitest/config";
import { fileReporter } from "./test/runner/file-reports.ts";
import { SlowestFirst } from "./test/runner/slowest-first.ts";
import { workersOf } from "./test/runner/suites.ts";

type Options = Record<string, unknown>;

const suite = (name: string, options: Options = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    environment: "node" as const,
    maxWorkers: workersOf(name),
    ...options,
  },
});

/** The suites of `npm test` with servers run together, because their tests mostly wait. */
const withServersGroup = 1;
let lastGroup = withServersGroup;
/** Suites with real processes and servers, with time-outs for a noisy machine. They run after the other suites. */
const withServers = (options: Options = {}): Options => ({
  testTimeout: 120_000,
  hookTimeout: 300_000,
  sequence: { groupOrder: withServersGroup },
  ...options,
});
/** Suites that run alone, one after another. */
const alone = (): Options => ({ sequence: { groupOrder: ++lastGroup } });
/** The files of one worker share its NATS and LiveKit servers. */
const onSharedServers = (options: Options = {}): Options => withServers({ isolate: false, ...options });

const full = (name: string, options: Options) =>
  suite(`${name}-full`, { include: [`test/full/${name}/**/*.test.ts`], ...options });

/** These files start a NATS server of their own. */
const withOwnNats = ["local-*", "alone", "containers", "power-loss", "full-disk"];
/** These files test the integration with other systems, for which the number of NATS nodes makes no difference. */
const aboutOthers = ["calls", "diagnostics", "erasure", "livekit-provider", "inbound", "phone-calls"];

const { TEST_FILE_REPORT } = process.env;

export default defineConfig({
  test: {
    reporters: [
      "default",
      ...(TEST_FILE_REPORT === undefined ? [] : [fileReporter(TEST_FILE_REPORT, import.meta.dirname)]),
    ],
    sequence: { sequencer: SlowestFirst },
    globalSetup: "./test/runner/compile.ts",
    projects: [
      suite("unit", { testTimeout: 30_000 }),
      suite("architecture", { testTimeout: 30_000 }),
      suite("simulation", { testTimeout: 300_000 }),
      suite("conformance", onSharedServers()),
      suite("system", onSharedServers()),
      suite("browser", onSharedServers()),
      suite("bench", withServers()),
      full("conformance", withServers(alone())),
      full("system", onSharedServers(alone())),
      full("browser", onSharedServers(alone())),
      full("simulation", {
        include: ["test/full/simulation/**/*.test.ts", "test/simulation/repeat.test.ts"],
        env: { SIM_SCOPE: "full" },
        testTimeout: 300_000,
      }),
      // Long time-outs for minutes of faults on a busy machine.
      suite(
        "chaos",
        withServers({ ...alone(), include: ["test/full/chaos/**/*.test.ts"], testTimeout: 900_000 }),
      ),
      // The same files on three NATS nodes.
      suite(
        "cluster",
        onSharedServers({
          ...alone(),
          include: ["test/conformance/bus-*.test.ts", "test/{,full/}system/**/*.test.ts"],
          exclude: [...withOwnNats, ...aboutOthers].map((name) => `test/**/system/${name}.test.ts`),
          env: { STACK_NATS_NODES: "3", STACK_SHAPE: "roles" },
        }),
      ),
    ],
  },
});
