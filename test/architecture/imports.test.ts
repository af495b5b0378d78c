// The rules of .dependency-cruiser.mjs: each reports a bad sample, and every exception is used.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { cruise, type ICruiseOptions, type ICruiseResult, type IViolation } from "dependency-cruiser";
import extractDepcruiseOptions from "dependency-cruiser/config-utl/extract-depcruise-options";
import { afterAll, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const config = join(root, ".dependency-cruiser.mjs");
const options = await extractDepcruiseOptions(config);
const { exceptions }: { exceptions: [from: string, to: string][] } = await import(config);

/** Bad samples: an import in a file of the folder, and the rule that forbids it. */
const bad: [rule: string, folder: string, imports: string][] = [
  ["libs-contracts-imports", "libs/contracts", 'import { x } from "node:fs";'],
  ["libs-contracts-imports", "libs/contracts", 'import type { Bus } from "../bus/bus.ts";'],
  ["libs-domain-imports", "libs/domain/session", 'import { z } from "zod";'],
  ["libs-domain-imports", "libs/domain/session", 'import { x } from "node:fs";'],
  ["libs-domain-imports", "libs/domain/session", 'import type { Clock } from "../../runtime/clock.ts";'],
  ["libs-runtime-imports", "libs/runtime", 'import { connect } from "nats";'],
  ["libs-runtime-imports", "libs/runtime", 'import { hosts } from "../contracts/buckets.ts";'],
  ["libs-auth-imports", "libs/auth", 'import type { Bus } from "../bus/bus.ts";'],
  ["libs-bus-imports", "libs/bus", 'import { reduce } from "../domain/session/reduce.ts";'],
  ["libs-fleet-imports", "libs/fleet", 'import { z } from "zod";'],
  ["libs-livekit-imports", "libs/livekit", 'import type { Bus } from "../bus/bus.ts";'],
  ["services-gateway-imports", "services/gateway", 'import {\n  x,\n} from "../dispatcher/x.ts";'],
  ["services-janitor-imports", "services/janitor", 'import { x } from "../../cli/x.ts";'],
  ["services-agent-host-imports", "services/agent-host", 'await import("../gateway/gateway.ts");'],
  ["services-dispatcher-imports", "services/dispatcher", 'export { x } from "../gateway/x.ts";'],
  ["services-gateway-tasks-imports", "services/gateway/tasks", 'import { x } from "../calls/x.ts";'],
  ["services-gateway-sessions-imports", "services/gateway/sessions", 'import { x } from "../fleet/x.ts";'],
  ["services-gateway-http-imports", "services/gateway/http", 'import { x } from "../sessions/x.ts";'],
  [
    "services-agent-host-agent-process-imports",
    "services/agent-host/agent-process",
    'import { x } from "../pool/slots.ts";',
  ],
  [
    "services-agent-host-agent-process-imports",
    "services/agent-host/agent-process",
    'import type { Bus } from "../../../libs/bus/bus.ts";',
  ],
  ["agent-host-is-the-parent", "services/agent-host/pool", 'import { x } from "../agent-process/job.ts";'],
  ["cli-imports", "cli/doctor", 'import { x } from "../../services/gateway/gateway.ts";'],
  ["deploy-imports", "deploy", 'import { x } from "../services/gateway/config.ts";'],
  ["docs-imports", "docs", 'import { x } from "../agents/echo.ts";'],
  ["agents-imports", "agents", 'import { x } from "../libs/runtime/log.ts";'],
  ["examples-imports", "examples/runner", 'import { x } from "../../libs/runtime/log.ts";'],
  ["nats-door", "libs/bus", 'import type { KV } from "nats";'],
  ["nats-door", "services/gateway", 'import { connect } from "nats";'],
  ["jose-door", "services/gateway", 'import { jwtVerify } from "jose";'],
  ["livekit-server-sdk-door", "services/gateway", 'import { AccessToken } from "livekit-server-sdk";'],
  ["livekit-agents-door", "services/agent-host/pool", 'import { voice } from "@livekit/agents";'],
  ["livekit-agents-door", "examples/runner", 'import { voice } from "@livekit/agents";'],
  ["livekit-agents-door", "deploy", 'const x = require("@livekit/agents/dist/job.js");'],
  ["livekit-rtc-node-door", "services/agent-host", 'import type { Room } from "@livekit/rtc-node";'],
  ["no-re-exports", "libs/bus", 'export * from "./x.ts";'],
  ["no-re-exports", "libs/bus", 'export type * from "./x.ts";'],
  ["no-re-exports", "cli", 'import { x } from "./x.ts";\nexport { x as y } from "./y.ts";'],
  ["tests-are-not-imported", "deploy", 'import "../test/kit/x.ts";'],
  ["no-development-packages", "libs/runtime", 'import { expect } from "vitest";'],
  ["no-undeclared-packages", "services/gateway", 'import { x } from "undeclared";'],
  ["no-unresolved-imports", "libs/bus", 'import { x } from "missing";'],
];

const good: [folder: string, imports: string][] = [
  ["libs/contracts/tasks", 'import { z } from "zod";\nimport { x } from "../ids.ts";'],
  ["libs/domain/task", 'import { setup } from "xstate";\nimport { x } from "../../contracts/ids.ts";'],
  ["libs/runtime", 'import { pino } from "pino";\nimport fs from "node:fs";'],
  ["libs/bus/nats", 'import { connect } from "nats";\nimport { x } from "../bus.ts";'],
  ["libs/fleet", 'import { x } from "../bus/bus.ts";\nimport { y } from "../contracts/ids.ts";'],
  ["services/gateway/tasks", 'import { x } from "../http/errors.ts";\nimport { y } from "../sessions/x.ts";'],
  [
    "services/gateway/http",
    'import { x } from "../context.ts";\nimport { y } from "../../../libs/bus/bus.ts";',
  ],
  ["services/gateway", 'import { x } from "./tasks/x.ts";\nimport { y } from "fastify";'],
  ["services/agent-host/agent-process", 'import { voice } from "@livekit/agents";'],
  ["services/agent-host/agent-process", 'import { x } from "../pool/messages.ts";'],
  ["cli", 'import { x } from "../services/gateway/config.ts";'],
  ["test/unit", 'import { connect } from "nats";\nimport { x } from "../../cli/x.ts";'],
];

/** Three files that import each other in a circle, one of them a type, and a file outside. */
const circle: Sample[] = [
  { path: "libs/fleet/circle-a.ts", text: 'import { b } from "./circle-b.ts";' },
  { path: "libs/fleet/circle-b.ts", text: 'import type { C } from "./sub/circle-c.ts";' },
  { path: "libs/fleet/sub/circle-c.ts", text: 'import { a } from "../circle-a.ts";' },
  { path: "libs/fleet/outside.ts", text: 'import { a } from "./circle-a.ts";' },
];

const samples = mkdtempSync(join(tmpdir(), "greenroom-imports-"));
afterAll(() => rmSync(samples, { recursive: true }));

const badAt = bad.map(([rule, folder, text], index) => ({ rule, path: `${folder}/bad-${index}.ts`, text }));
const goodAt = good.map(([folder, text], index) => ({ path: `${folder}/good-${index}.ts`, text }));
const violations = await violationsIn([...badAt, ...goodAt, ...circle]);
const brokenBy = (path: string): string[] =>
  violations.filter(({ from }) => from === path).map(({ rule }) => rule.name);

describe(".dependency-cruiser.mjs", () => {
  test.each(badAt)("reports that $path breaks $rule: $text", ({ rule, path }) => {
    expect(brokenBy(path)).toContain(rule);
  });

  test.each(goodAt)("accepts $path: $text", ({ path }) => {
    expect(brokenBy(path)).toEqual([]);
  });

  test("reports a circle, but no file outside it", () => {
    const circles = violations.filter(({ rule }) => rule.name === "no-circles");
    expect(circles.map(({ cycle }) => cycle?.map(({ name }) => name).sort())).toEqual([
      circle.map(({ path }) => path).slice(0, 3),
    ]);
  });

  test("is tested with a bad sample of each rule", () => {
    const ruled = new Set(options.ruleSet?.forbidden?.map(({ name }) => name));
    const shown = new Set([...bad.map(([rule]) => rule), "no-circles"]);
    // All services and capabilities have the same rule.
    const alike = /^services-(?:gateway-)?[a-z-]+-imports$/;
    expect([...ruled].filter((name) => name !== undefined && !shown.has(name) && !alike.test(name))).toEqual(
      [],
    );
  });
});

describe("list of exceptions", () => {
  test("contains only existing imports", async () => {
    const files = [...new Set(exceptions.map(([from]) => from))];
    const { modules } = await cruised(files, { ...options, baseDir: root, doNotFollow: { path: "." } });
    const isImported = ([from, to]: [string, string]) =>
      modules.some(
        ({ source, dependencies }) => source === from && dependencies.some(({ resolved }) => resolved === to),
      );
    expect(exceptions.filter((exception) => !isImported(exception))).toEqual([]);
  });
});

interface Sample {
  readonly path: string;
  readonly text: string;
}

/** Writes the samples and their imports, and checks them. */
async function violationsIn(files: readonly Sample[]): Promise<IViolation[]> {
  const declared = ["zod", "xstate", "pino", "nats", "jose", "fastify", "livekit-server-sdk"];
  const packages = [...declared, "@livekit/agents", "@livekit/rtc-node"];
  const dependencies = Object.fromEntries(packages.map((name) => [name, "1"]));
  write("package.json", JSON.stringify({ type: "module", dependencies, devDependencies: { vitest: "1" } }));
  for (const name of [...packages, "vitest", "undeclared"]) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "index.js" }));
    write(`node_modules/${name}/index.js`, "");
    write(`node_modules/${name}/dist/job.js`, "");
  }
  for (const { path, text } of files) {
    for (const [, target] of text.matchAll(/"(\.[^"]+)"/g)) {
      write(posix.join(posix.dirname(path), target ?? ""), "export const x = 1;");
    }
  }
  for (const { path, text } of files) write(path, text);
  const tops = [...new Set(files.map(({ path }) => path.split("/")[0] ?? ""))];
  const { summary } = await cruised(tops, { ...options, baseDir: samples });
  return summary.violations;
}

function write(path: string, text: string): void {
  mkdirSync(join(samples, dirname(path)), { recursive: true });
  writeFileSync(join(samples, path), text);
}

async function cruised(files: string[], cruiseOptions: ICruiseOptions): Promise<ICruiseResult> {
  const { output } = await cruise(files, cruiseOptions);
  if (typeof output === "string") throw new Error(output);
  return output;
}
