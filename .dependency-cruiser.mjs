// The import rules of ARCHITECTURE.md, for dependency-cruiser (`npm run imports`).
import { readdirSync } from "node:fs";

/**
 * Imports that break a rule and are right all the same, as [from, to].
 * A test fails for an exception that its file no longer needs.
 */
export const exceptions = [
  // The doctor loads agent files, and makes a test call, exactly as an agent host does.
  ["cli/doctor/agent-checks.ts", "services/agent-host/pool/find-profiles.ts"],
  ["cli/doctor/agent-checks.ts", "services/agent-host/pool/supervised-process.ts"],
  ["cli/doctor/agent-code.ts", "services/agent-host/pool/find-profiles.ts"],
  ["cli/doctor/sources.ts", "services/agent-host/agent-process/loading/project-env.ts"],
  ["cli/doctor/sources.ts", "services/agent-host/pool/project.ts"],
  ["cli/doctor/call-child.ts", "services/agent-host/agent-process/native.ts"],
  // Commands look for agent files where an agent host does.
  ["cli/local/agents-folder.ts", "services/agent-host/pool/find-profiles.ts"],
  ["cli/download-files/main.ts", "services/agent-host/pool/find-profiles.ts"],
  ["cli/download-files/main.ts", "services/agent-host/pool/project.ts"],
  // `npm run kpis` rebuilds figures with the code that writes them.
  ["cli/kpis.ts", "services/calls/kpi-writer.ts"],
];

const foldersIn = (path) =>
  readdirSync(new URL(path, import.meta.url), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

const file = (path) => `^${path.replaceAll(".", "\\.")}$`;
const folder = (path) => `^${path}/`;
const packages = (...names) => `^node_modules/(${names.join("|")})/`;
const ANY_PACKAGE = "^node_modules/";
/** Goes into `to` of a rule that leaves Node's own modules alone. */
const NODE_TOO = { dependencyTypesNot: ["core"] };

const CONTRACTS = folder("libs/contracts");
const DOMAIN = folder("libs/domain");
const RUNTIME = folder("libs/runtime");
const LIBS = folder("libs");

const forbid = (name, from, to) => ({ name, severity: "error", from, to });

/** The folder imports itself and what is listed, nothing else. */
function layer(path, allowed, to = {}) {
  const own = folder(path);
  const name = `${path.replaceAll("/", "-")}-imports`;
  const excepted = exceptions.filter(([from]) => from.startsWith(`${path}/`));
  const rule = (from, more) => forbid(name, from, { ...to, pathNot: [own, ...allowed, ...more] });
  return [
    rule({ path: own, pathNot: excepted.map(([from]) => file(from)) }, []),
    ...excepted.map(([from]) =>
      rule(
        { path: file(from) },
        excepted.filter((other) => other[0] === from).map(([, target]) => file(target)),
      ),
    ),
  ];
}

/** Nobody but these files and the tests imports the package. */
const door = (name, ...files) =>
  forbid(
    `${name}-door`.replace("@", "").replace("/", "-"),
    { pathNot: [folder("test"), ...files] },
    { path: packages(name) },
  );

const libs = [
  ...layer("libs/contracts", [packages("zod")]),
  ...layer("libs/domain", [CONTRACTS, packages("xstate"), "^crypto$"]),
  ...layer(
    "libs/runtime",
    [packages("zod", "pino", "prom-client", "fastest-levenshtein", "ipaddr.js")],
    NODE_TOO,
  ),
  ...layer("libs/auth", [CONTRACTS, RUNTIME, packages("jose")], NODE_TOO),
  ...layer("libs/bus", [CONTRACTS, RUNTIME, packages("nats"), "^async_hooks$"]),
  ...layer("libs/fleet", [CONTRACTS, RUNTIME, folder("libs/bus")]),
  ...layer("libs/livekit", [CONTRACTS, RUNTIME, packages("livekit-server-sdk", "@livekit/protocol", "ws")]),
];

const services = foldersIn("services").flatMap((service) =>
  layer(
    `services/${service}`,
    [service === "control" ? folder("services") : LIBS, LIBS, ANY_PACKAGE],
    NODE_TOO,
  ),
);

const GATEWAY_SHARED = [
  folder("services/gateway/http"),
  file("services/gateway/context.ts"),
  file("services/gateway/config.ts"),
];
const gateway = foldersIn("services/gateway").flatMap((capability) =>
  layer(
    `services/gateway/${capability}`,
    [
      ...GATEWAY_SHARED,
      ...(capability === "http" ? [] : [folder("services/gateway/sessions")]),
      LIBS,
      ANY_PACKAGE,
    ],
    NODE_TOO,
  ),
);

const CHILD = folder("services/agent-host/agent-process");
const agentProcess = [
  ...layer(
    "services/agent-host/agent-process",
    // The domain is pure: both processes trim conversations and add up usage alike.
    [
      CONTRACTS,
      DOMAIN,
      RUNTIME,
      file("libs/livekit/tokens.ts"),
      file("services/agent-host/pool/messages.ts"),
      packages("@livekit/[^/]+", "pino", "tsx"),
    ],
    NODE_TOO,
  ),
  forbid(
    "agent-host-is-the-parent",
    { path: folder("services/agent-host"), pathNot: CHILD },
    { path: CHILD },
  ),
];

const outside = [
  ...layer("cli", ["^services/[^.]+/[a-z-]*(config|settings)\\.ts$", LIBS, ANY_PACKAGE], NODE_TOO),
  ...layer("deploy", [folder("cli"), LIBS, ANY_PACKAGE], NODE_TOO),
  ...layer("docs", [folder("cli"), folder("services"), LIBS, ANY_PACKAGE], NODE_TOO),
  // An agent file imports Greenroom as its author's project would: by `greenroom/agent`.
  ...layer("agents", [file("services/agent-host/agent-process/agent-api.ts"), ANY_PACKAGE], NODE_TOO),
  // Examples are other people's services: they import nothing of Greenroom.
  ...layer("examples", [ANY_PACKAGE], NODE_TOO),
];

const doors = [
  door("nats", folder("libs/bus/nats")),
  door("jose", folder("libs/auth"), folder("examples")),
  door("livekit-server-sdk", folder("libs/livekit"), folder("agents")),
  door("@livekit/agents", CHILD, folder("agents")),
  door("@livekit/rtc-node", CHILD, file("cli/doctor/call-child.ts"), folder("agents"), folder("examples")),
];

const everywhere = [
  forbid("no-circles", {}, { circular: true }),
  // Nor barrels: a file exports what is its own.
  forbid("no-re-exports", {}, { dependencyTypes: ["export"] }),
  forbid(
    "tests-are-not-imported",
    { pathNot: [folder("test"), "^vitest\\.config\\.ts$"] },
    { path: folder("test") },
  ),
  forbid(
    "no-development-packages",
    { path: "^(libs|services|cli|agents|examples)/" },
    { dependencyTypes: ["npm-dev"] },
  ),
  forbid(
    "no-undeclared-packages",
    // The native library is a dependency of @livekit/rtc-node, which gives no way to it.
    { pathNot: file("services/agent-host/agent-process/native.ts") },
    { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
  ),
  // An agent file whose package is missing on purpose.
  forbid(
    "no-unresolved-imports",
    { pathNot: file("test/agents/stock/lacking.ts") },
    { couldNotResolve: true },
  ),
];

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [...libs, ...services, ...gateway, ...agentProcess, ...outside, ...doors, ...everywhere],
  options: {
    // TypeScript 7 has no JavaScript API. Type imports count as imports.
    parser: "swc",
    doNotFollow: { path: "node_modules" },
    // The page's own scripts, which run in a browser.
    exclude: { path: folder("services/gateway/http/public") },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["greenroom-source", "types", "import", "node", "default"],
    },
  },
};
