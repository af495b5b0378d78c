// Builds small repositories in temporary folders.
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { build } from "../../../cli/build.mjs";
import { repositoryRoot } from "../../../libs/runtime/compiled.ts";

const BUILD = pathToFileURL(`${repositoryRoot}cli/build.mjs`).href;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "greenroom-build-"));
  put("libs/greeting.ts", "export type Name = string;\nexport const greeting: Name = 'hello';\n");
  put(
    "cli/greet.ts",
    'import { greeting } from "../libs/greeting.ts";\nexport const text: string = greeting;\n',
  );
  put("services/page/public/page.html", "<p>hello</p>");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

const outputs = (): string[] =>
  readdirSync(join(root, "dist"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();

/** Builds in a process of its own. */
async function buildElsewhere(root: string): Promise<void> {
  const code = `await (await import(${JSON.stringify(BUILD)})).build(${JSON.stringify(root)})`;
  await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", code]);
}

const ALL = [
  "dist/.compiler",
  "dist/cli/greet.js",
  "dist/cli/greet.js.map",
  "dist/libs/greeting.js",
  "dist/libs/greeting.js.map",
  "dist/services/page/public/page.html",
];

describe("build", () => {
  test("compiles TypeScript, imports compiled files, and copies other files", async () => {
    await build(root);
    expect(outputs()).toEqual(ALL);
    expect(await import(join(root, "dist/cli/greet.js"))).toMatchObject({ text: "hello" });
    expect(JSON.parse(readFileSync(join(root, "dist/cli/greet.js.map"), "utf8")).sources).toEqual([
      "../../cli/greet.ts",
    ]);
  });

  test("compiles a file again only when its modification time changes, in either direction", async () => {
    expect((await build(root)).sort()).toEqual([
      "cli/greet.ts",
      "libs/greeting.ts",
      "services/page/public/page.html",
    ]);
    expect(await build(root)).toEqual([]);
    put("libs/greeting.ts", "export const greeting = 'good morning';\n");
    utimesSync(join(root, "libs/greeting.ts"), 1_000_000, 1_000_000);
    expect(await build(root)).toEqual(["libs/greeting.ts"]);
    expect(readFileSync(join(root, "dist/libs/greeting.js"), "utf8")).toContain("good morning");
  });

  test("bundles a service with its own modules and its packages, again after a change of one", async () => {
    put("node_modules/name-of-folder/package.json", '{ "main": "index.js" }');
    put(
      "node_modules/name-of-folder/index.js",
      'exports.folder = () => require("node:path").basename(__dirname);\n',
    );
    put(
      "services/control/main.ts",
      'import { folder } from "name-of-folder";\nimport { greeting } from "../../libs/greeting.ts";\nexport const text: string = [greeting, folder()].join(" from ");\n',
    );
    await build(root);
    rmSync(join(root, "node_modules"), { recursive: true });
    rmSync(join(root, "dist/libs"), { recursive: true });
    const bundle = join(root, "dist/services/control/main.js");
    expect(await import(bundle)).toMatchObject({ text: "hello from control" });

    put("node_modules/name-of-folder/index.js", 'exports.folder = () => "elsewhere";\n');
    put("libs/greeting.ts", "export const greeting = 'good morning';\n");
    await build(root);
    expect(await import(`${bundle}?again`)).toMatchObject({ text: "good morning from elsewhere" });
  });

  test("maps only the repository's own lines of a bundle", async () => {
    put("node_modules/failing/index.js", "exports.fail = () => {\n  throw new Error();\n};\n");
    put("services/control/main.ts", 'import { fail } from "failing";\n\nexport const main = () => fail();\n');
    await build(root);
    const lines = readFileSync(join(root, "dist/services/control/main.js"), "utf8").split("\n");
    const map = new SourceMap(
      JSON.parse(readFileSync(join(root, "dist/services/control/main.js.map"), "utf8")),
    );
    const originOf = (text: string) => {
      const index = lines.findIndex((line) => line.includes(text));
      return map.findOrigin(index + 1, lines[index]!.indexOf(text) + 1);
    };
    expect(originOf("main = () =>")).toMatchObject({
      fileName: "../../../services/control/main.ts",
      lineNumber: 3,
    });
    expect(originOf("throw new Error()")).toEqual({});
    expect(originOf("createRequire as")).toEqual({});
  });

  test("compiles every file again after a change of the compiler", async () => {
    await build(root);
    writeFileSync(join(root, "dist/.compiler"), "another version");
    expect(await build(root)).toHaveLength(3);
    expect(await build(root)).toEqual([]);
  });

  test("removes the outputs of a source that is gone", async () => {
    await build(root);
    rmSync(join(root, "cli/greet.ts"));
    await build(root);
    expect(outputs()).toEqual(ALL.filter((file) => !file.startsWith("dist/cli/")));
  });

  test("reports what it can't parse, and tries again next time", async () => {
    put("libs/greeting.ts", "export const greeting = ;\n");
    await expect(build(root)).rejects.toThrow("Unexpected");
    put("libs/greeting.ts", "export const greeting = 'hello';\n");
    await build(root);
    expect(outputs()).toEqual(ALL);
  });

  test("leaves whole files and nothing else when several builds run at once", async () => {
    await Promise.all([buildElsewhere(root), buildElsewhere(root), build(root), build(root)]);
    expect(outputs()).toEqual(ALL);
    expect(await build(root)).toEqual([]);
    expect(await import(join(root, "dist/cli/greet.js"))).toMatchObject({ text: "hello" });
  }, 30_000);
});
