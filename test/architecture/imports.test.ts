// Holds the rules of the house against every source file, and each rule against small bad samples.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSource, type Source } from "./read-source.ts";
import {
  allRules,
  filesAreShort,
  filesSayWhatTheyAre,
  importsNameTheirFile,
  importsStayInTheirLayer,
  noBarrels,
  noCircles,
  noDefaultExports,
  nothingImportsTest,
  packagesHaveOneDoor,
  type Rule,
  testNamesTellWhatIs,
} from "./rules.ts";

const root = join(import.meta.dirname, "../..");
const folders = ["libs", "services", "cli", "deploy", "agents", "examples", "docs", "test"];

function everySource(): Source[] {
  const paths = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) =>
      join(folder, path).replaceAll("\\", "/"),
    ),
  );
  return [...paths, "vitest.config.ts"]
    .filter((path) => path.endsWith(".ts") && !path.includes("node_modules/"))
    .map((path) => readSource(path, readFileSync(join(root, path), "utf8")));
}

describe("every source file", () => {
  const sources = everySource();

  test("is read: the rules below look at something", () => {
    expect(sources.length).toBeGreaterThan(80);
    const imports = sources.flatMap((source) => source.imports);
    expect(imports.length).toBeGreaterThan(300);
    for (const known of ["zod", "nats", "xstate", "livekit-server-sdk", "../contracts/errors.ts"]) {
      expect(imports).toContain(known);
    }
  });

  test.each(Object.entries(allRules))("keeps the rule %s", (_name, rule) => {
    expect(rule(sources)).toEqual([]);
  });
});

/** What a rule says of some files, given as path and text. */
const said = (rule: Rule, files: Record<string, string>): string[] =>
  rule(Object.entries(files).map(([path, text]) => readSource(path, text)));

describe("a bad sample is found", () => {
  test.each([
    ["libs/contracts/a.ts", 'import { x } from "node:fs";'],
    ["libs/contracts/a.ts", 'import type { Bus } from "../bus/bus.ts";'],
    ["libs/domain/session/a.ts", 'import { z } from "zod";'],
    ["libs/domain/session/a.ts", 'import type { Clock } from "../../runtime/clock.ts";'],
    ["libs/runtime/a.ts", 'import { connect } from "nats";'],
    ["libs/runtime/a.ts", 'import { hosts } from "../contracts/buckets.ts";'],
    ["libs/bus/a.ts", 'import { step } from "../domain/session/reduce.ts";'],
    ["libs/fleet/a.ts", 'import { z } from "zod";'],
    ["libs/livekit/a.ts", 'import type { Bus } from "../bus/bus.ts";'],
    ["services/gateway/a.ts", 'import {\n  x,\n} from "../dispatcher/x.ts";'],
    ["services/janitor/a.ts", 'import { x } from "../../cli/x.ts";'],
    ["services/agent-host/a.ts", 'await import("../gateway/gateway.ts");'],
    ["services/dispatcher/a.ts", 'export { x } from "../gateway/x.ts";'],
    ["deploy/a.ts", 'import "../test/kit/x.ts";'],
    ["agents/a.ts", 'import { x } from "../libs/runtime/log.ts";'],
    ["examples/a/b.ts", 'import { x } from "../../libs/runtime/log.ts";'],
    ["libs/auth/a.ts", 'import type { Bus } from "../bus/bus.ts";'],
  ])("in the layers: %s with %s", (path, text) => {
    expect(said(importsStayInTheirLayer, { [path]: text })).toHaveLength(1);
  });

  test.each([
    ["libs/bus/memory-bus.ts", 'import type { KV } from "nats";'],
    ["services/gateway/a.ts", 'import { connect } from "nats";'],
    ["services/gateway/a.ts", 'import { AccessToken } from "livekit-server-sdk";'],
    ["services/agent-host/pool/agent-pool.ts", 'import { voice } from "@livekit/agents";'],
    ["services/agent-host/agent-host.ts", 'import type { Room } from "@livekit/rtc-node";'],
    ["services/gateway/a.ts", 'import { jwtVerify } from "jose";'],
    ["examples/a/b.ts", 'import { voice } from "@livekit/agents";'],
    ["deploy/a.ts", 'const x = require("@livekit/agents/dist/job.js");'],
  ])("at the doors: %s with %s", (path, text) => {
    expect(said(packagesHaveOneDoor, { [path]: text })).toHaveLength(1);
  });

  test("when something imports test", () => {
    const text = 'import { until } from "../../test/kit/until.ts";';
    expect(said(nothingImportsTest, { "services/gateway/a.ts": text })).toHaveLength(1);
    expect(said(nothingImportsTest, { "test/unit/a.test.ts": text })).toEqual([]);
  });

  test("when an import doesn't name its file", () => {
    expect(said(importsNameTheirFile, { "libs/bus/a.ts": 'import { x } from "./b";' })).toHaveLength(1);
  });

  test("when files import each other in a circle, over three files and by types too", () => {
    const files = {
      "libs/bus/a.ts": 'import { b } from "./b.ts";',
      "libs/bus/b.ts": 'import type { C } from "./sub/c.ts";',
      "libs/bus/sub/c.ts": 'import { a } from "../a.ts";',
      "libs/bus/d.ts": 'import { a } from "./a.ts";',
    };
    const [fault, ...rest] = said(noCircles, files);
    expect(fault).toContain("libs/bus/a.ts → libs/bus/b.ts → libs/bus/sub/c.ts → libs/bus/a.ts");
    expect(rest).toEqual([]);
    expect(said(noCircles, { ...files, "libs/bus/sub/c.ts": "export const c = 1;" })).toEqual([]);
  });

  test.each([
    'export * from "./a.ts";',
    'export type * from "./a.ts";',
    '// Says.\nexport { a } from "./a.ts";\n',
  ])("when a file is a barrel: %s", (text) => {
    expect(said(noBarrels, { "libs/bus/b.ts": text })).toHaveLength(1);
  });

  test.each(["export default 1;", "const x = 1;\nexport { x as default };"])(
    "when a file has a default export: %s",
    (text) => {
      expect(said(noDefaultExports, { "libs/bus/b.ts": text })).toHaveLength(1);
      expect(said(noDefaultExports, { "agents/b.ts": text })).toEqual([]);
    },
  );

  test("when a file is too long, or doesn't say what it is", () => {
    expect(said(filesAreShort, { "libs/bus/b.ts": "x;\n".repeat(401) })).toHaveLength(1);
    expect(said(filesAreShort, { "libs/bus/b.ts": "x;\n".repeat(400) })).toEqual([]);
    for (const text of ['import { x } from "./x.ts";', "/** Says. */", "//", "\n// Says."]) {
      expect(said(filesSayWhatTheyAre, { "libs/bus/b.ts": text })).toHaveLength(1);
    }
    expect(said(filesSayWhatTheyAre, { "deploy/a.ts": "#!/usr/bin/env node\n// Says.\n" })).toEqual([]);
  });

  test.each([
    `${"test"}("it should work", () => {});`,
    `${"describe"}.each([1])("a host that should be gone", () => {});`,
    `${"it"}(\n  'Should do', async () => {});`,
  ])("when the name of a test tells what ought to be: %s", (text) => {
    expect(said(testNamesTellWhatIs, { "test/unit/a.test.ts": text })).toHaveLength(1);
  });
});

describe("a good sample passes", () => {
  test("with imports that its layer may have", () => {
    const files = {
      "libs/bus/nats/nats-bus.ts":
        '// Says.\nimport { connect } from "nats";\nimport { x } from "./bus.ts";\nexport const a = 1;\n',
      "services/agent-host/agent-process/job.ts": '// Says.\nimport { voice } from "@livekit/agents";\n',
      "libs/runtime/log.ts": '// Says.\nimport { pino } from "pino";\nimport fs from "node:fs";\n',
    };
    for (const rule of Object.values(allRules)) expect(said(rule, files)).toEqual([]);
  });

  test("with imports that only stand in comments, texts and templates", () => {
    const text = [
      "// Says.",
      '// import { connect } from "nats";',
      '/* import { connect } from "nats"; */',
      "const template = `",
      'import { connect } from "nats";',
      "$" + '{`import("nats")`}',
      "`;",
      "const pattern = /[`'\"]/;",
      'import { x } from "./x.ts";',
    ].join("\n");
    expect(readSource("services/gateway/a.ts", text).imports).toEqual(["./x.ts"]);
  });
});
