// Variables of agent files that sessions would share.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { moduleVariables } from "../../../../cli/doctor/module-state.ts";

test.each([
  ["let account = '';", ["account"]],
  ["var n;", ["n"]],
  ["export let calls: string[] = [];", ["calls"]],
  ["const cache = new Map<string, number>();", ["cache"]],
  ["const seen: Set<string> = new Set();", ["seen"]],
  ["const list: string[] = [];", ["list"]],
  ["const byId: Record<string, string> = {};", ["byId"]],
  ["const LIMIT = 3;\nconst NAMES = ['a', 'b'];\nconst TABLE = { a: 1 };", []],
  ["function f() {\n  let local = 1;\n  const own = new Map();\n}", []],
])("finds in %j the variables that can change", (source, names) => {
  expect(moduleVariables(source).map(({ name }) => name)).toEqual(names);
});

test("finds none in the bundled agents, which share a process", () => {
  for (const name of ["echo", "assistant"]) {
    const file = new URL(`../../../../agents/${name}.ts`, import.meta.url);
    expect(moduleVariables(readFileSync(file, "utf8"))).toEqual([]);
  }
});
