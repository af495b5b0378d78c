// The rules of the house that a machine can hold: who may import what, and how a file looks.
import { posix } from "node:path";
import type { Source } from "./read-source.ts";

/** A rule gives a sentence for each place where it is broken. */
export type Rule = (sources: readonly Source[]) => string[];

interface Layer {
  /** Packages and `node:` modules; `node:` alone stands for all of Node's. */
  readonly packages: readonly string[] | "any";
  /** Folders that it may import from, its own always. */
  readonly folders: readonly string[];
}

const ofServices: Layer = { packages: "any", folders: ["libs"] };

/** The first folder that a path begins with decides. */
const layers: [folder: string, layer: Layer][] = [
  ["libs/contracts", { packages: ["zod"], folders: [] }],
  ["libs/domain", { packages: ["xstate", "node:crypto"], folders: ["libs/contracts"] }],
  ["libs/runtime", { packages: ["zod", "pino", "prom-client", "node:"], folders: [] }],
  ["libs/auth", { packages: ["jose", "node:"], folders: ["libs/contracts", "libs/runtime"] }],
  ["libs/bus", { packages: ["nats"], folders: ["libs/contracts", "libs/runtime"] }],
  ["libs/fleet", { packages: [], folders: ["libs/contracts", "libs/bus", "libs/runtime"] }],
  [
    "libs/livekit",
    {
      packages: ["livekit-server-sdk", "@livekit/protocol"],
      folders: ["libs/contracts", "libs/runtime"],
    },
  ],
  ["services/gateway", ofServices],
  ["services/dispatcher", ofServices],
  ["services/agent-host", ofServices],
  ["services/janitor", ofServices],
  ["services/providers", ofServices],
  ["services/handoffs", ofServices],
  ["services/tasks", ofServices],
  ["services/calls", ofServices],
  ["services/webhooks", ofServices],
  ["services/privacy", ofServices],
  ["cli", { packages: "any", folders: ["services", "libs"] }],
  ["deploy", { packages: "any", folders: ["cli", "services", "libs"] }],
  ["agents", { packages: "any", folders: [] }],
  // As somebody else's service would be: nothing of ours.
  ["examples", { packages: "any", folders: [] }],
  ["docs", { packages: "any", folders: ["libs", "services", "cli"] }],
  ["test", { packages: "any", folders: ["libs", "services", "cli", "deploy", "agents", "docs"] }],
];

/** Packages that only these files may import: the wire, the rooms and the agents each have one door. */
const doors: [packages: readonly string[], files: RegExp, description: string][] = [
  [["nats"], /^(libs\/bus\/nats\/|test\/)/, "libs/bus/nats"],
  [["jose"], /^(libs\/auth\/|examples\/|test\/)/, "libs/auth"],
  [["livekit-server-sdk"], /^(libs\/livekit\/|agents\/|test\/)/, "libs/livekit"],
  [
    ["@livekit/agents"],
    // agent-api.ts is what agent files import of us: it runs in the agent process, with them.
    /^(services\/agent-host\/agent-process\/|agents\/|test\/)/,
    "services/agent-host/agent-process and agent files",
  ],
  [
    ["@livekit/rtc-node"],
    // The doctor makes a call of its own, in a process of its own.
    /^(services\/agent-host\/agent-process\/|cli\/doctor\/call-child\.ts|agents\/|examples\/|test\/)/,
    "services/agent-host/agent-process, the doctor's call-child.ts, agent files and examples",
  ],
];

const isIn = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);
const isRelative = (name: string): boolean => name.startsWith(".");
const resolved = (source: Source, name: string): string => posix.join(posix.dirname(source.path), name);
const layerOf = (path: string) => layers.find(([folder]) => isIn(path, folder));

/** `@scope/name/part` is the package `@scope/name`. */
const packageOf = (name: string): string =>
  name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");

export const importsStayInTheirLayer: Rule = (sources) =>
  sources.flatMap((source) => {
    const found = layerOf(source.path);
    if (found === undefined) return [];
    const [own, { packages, folders }] = found;
    return source.imports.flatMap((name) => {
      if (isRelative(name)) {
        const target = resolved(source, name);
        if ([own, ...folders].some((folder) => isIn(target, folder))) return [];
        return [`${source.path} imports ${target}: ${own} may not.`];
      }
      if (packages === "any") return [];
      const isAllowed = packages.some((allowed) =>
        allowed === "node:" ? name.startsWith("node:") : packageOf(name) === allowed,
      );
      return isAllowed ? [] : [`${source.path} imports ${name}: ${own} may not.`];
    });
  });

export const packagesHaveOneDoor: Rule = (sources) =>
  sources.flatMap((source) =>
    source.imports.flatMap((name) =>
      doors
        .filter(([packages, files]) => packages.includes(packageOf(name)) && !files.test(source.path))
        .map(([, , description]) => `${source.path} imports ${name}: only ${description} may.`),
    ),
  );

export const nothingImportsTest: Rule = (sources) =>
  sources.flatMap((source) =>
    source.path.startsWith("test/")
      ? []
      : source.imports
          .filter((name) => isRelative(name) && resolved(source, name).startsWith("test/"))
          .map((name) => `${source.path} imports ${resolved(source, name)}: nothing imports test.`),
  );

export const importsNameTheirFile: Rule = (sources) =>
  sources.flatMap((source) =>
    source.imports
      .filter((name) => isRelative(name) && !/\.(ts|js|mjs|cjs|json)$/.test(name))
      .map((name) => `${source.path} imports ${name}: say the file with its ending.`),
  );

/** Type imports count: two files that need each other's types are one thing in two places. */
export const noCircles: Rule = (sources) => {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const faults: string[] = [];
  const done = new Set<string>();
  const visit = (source: Source, way: readonly string[]) => {
    const begin = way.indexOf(source.path);
    if (begin >= 0) {
      faults.push(`These import each other in a circle: ${[...way.slice(begin), source.path].join(" → ")}.`);
      return;
    }
    if (done.has(source.path)) return;
    for (const name of source.imports.filter(isRelative)) {
      const target = byPath.get(resolved(source, name));
      if (target !== undefined) visit(target, [...way, source.path]);
    }
    done.add(source.path);
  };
  for (const source of sources) visit(source, []);
  return faults;
};

export const noBarrels: Rule = (sources) =>
  sources.flatMap(({ path, code }) => {
    if (/^\s*export\s*(type\s*)?\*/m.test(code)) return [`${path} has "export *": name what is exported.`];
    const own = code
      .replace(/^\s*(import|export)\b[^'";]*\bfrom\s*["'][^"']+["'];?/gm, "")
      .replace(/[\s;]/g, "");
    return own === "" && /\bexport\b/.test(code) ? [`${path} only passes on what others export.`] : [];
  });

const mayHaveDefault = /^(agents\/|test\/(.*\/)?agents\/|[^/]+\.config\.ts$)/;

export const noDefaultExports: Rule = (sources) =>
  sources.flatMap(({ path, code }) =>
    !mayHaveDefault.test(path) && /^\s*export\s*(default\b|\{[^}]*\bas\s+default\b)/m.test(code)
      ? [`${path} has a default export: give it a name.`]
      : [],
  );

const MAX_LINES = 400;

export const filesAreShort: Rule = (sources) =>
  sources.flatMap(({ path, text }) => {
    const lines = text.replace(/\n$/, "").split("\n").length;
    return lines > MAX_LINES ? [`${path} has ${lines} lines: ${MAX_LINES} at most.`] : [];
  });

export const filesSayWhatTheyAre: Rule = (sources) =>
  sources.flatMap(({ path, text }) => {
    const [first = "", second = ""] = text.split("\n");
    const line = first.startsWith("#!") ? second : first;
    return /^\/\/ \S/.test(line) ? [] : [`${path} doesn't begin with a line that says what it is.`];
  });

/** In the text and not the code: names of tests may be templates. */
export const testNamesTellWhatIs: Rule = (sources) =>
  sources.flatMap(({ path, text }) =>
    [...text.matchAll(/\b(?:test|it|describe)(?:\.\w+)*\s*(?:\([^"'`]*\)\s*)?\(\s*(["'`])(.*?)\1/g)]
      .map((match) => match[2] ?? "")
      .filter((name) => /\bshould\b/i.test(name))
      .map((name) => `${path} has the test "${name}": say what is, without "should".`),
  );

export const allRules: Readonly<Record<string, Rule>> = {
  importsStayInTheirLayer,
  packagesHaveOneDoor,
  nothingImportsTest,
  importsNameTheirFile,
  noCircles,
  noBarrels,
  noDefaultExports,
  filesAreShort,
  filesSayWhatTheyAre,
  testNamesTellWhatIs,
};
