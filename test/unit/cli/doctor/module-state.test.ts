// Variables of agent files that sessions would share.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { moduleVariables, sharedVariables } from "../../../../cli/doctor/module-state.ts";

test.each([
  ["let account = '';", ["account"]],
  ["var n;", ["n"]],
  ["export let calls: string[] = [];", ["calls"]],
  ["const cache = new Map<string, number>();", ["cache"]],
  ["const seen: Set<string> = new Set();", ["seen"]],
  ["const list: string[] = [];", ["list"]],
  ["const byId: Record<string, string> = {};", ["byId"]],
  ["let { a, b } = load();", ["{ a, b }"]],
  ["const answers = new LRUCache<string, string>({ max: 5 });", ["answers"]],
  ["const prices = tools.createPriceCache();", ["prices"]],
  ["const LIMIT = 3;\nconst NAMES = ['a', 'b'];\nconst TABLE = { a: 1 };", []],
  ["function f() {\n  let local = 1;\n  const own = new Map();\n}", []],
])("finds in %j the variables that can change", (source, names) => {
  expect(moduleVariables(source).map(({ name }) => name)).toEqual(names);
});

test("finds none in the bundled agents, which share a process", async () => {
  for (const name of ["echo", "assistant"])
    expect(
      await sharedVariables(fileURLToPath(new URL(`../../../../agents/${name}.ts`, import.meta.url))),
    ).toEqual([]);
});

test("finds those of the modules that a file imports, and reads on in spite of a missing one", async () => {
  const file = fileURLToPath(new URL("../../../agents/isolated-shared.ts", import.meta.url));
  expect(await sharedVariables(file)).toContainEqual({
    name: "account",
    line: expect.any(Number),
    file: "_remembers.ts",
  });
  const dir = mkdtempSync(join(tmpdir(), "greenroom-modules-"));
  const broken = join(dir, "broken.ts");
  writeFileSync(broken, 'import "./missing.ts";\nlet caller = "";\n');
  expect(await sharedVariables(broken)).toEqual([{ name: "caller", line: 2, file: "broken.ts" }]);
  rmSync(dir, { recursive: true });
});
