// The format of source files: their length, their opening comment, and no default export.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readProject, type TextFile } from "./prose/read-files.ts";

const root = join(import.meta.dirname, "../..");
const MAX_LINES = 400;

const tooLong = ({ path, text }: TextFile): string[] => {
  const lines = text.trimEnd().split("\n").length;
  return lines > MAX_LINES ? [`${path} has ${lines} lines, ${MAX_LINES} at most`] : [];
};

const withoutOpening = ({ path, text }: TextFile): string[] => {
  const [first = ""] = text.replace(/^#!.*\n/, "").split("\n");
  return /^\/\/ \S/.test(first) ? [] : [`${path} has no opening comment`];
};

describe("source file", () => {
  const sources = readProject().filter(({ path }) => path.endsWith(".ts"));

  test(`has at most ${MAX_LINES} lines`, () => {
    expect(sources.length).toBeGreaterThan(500);
    expect(sources.flatMap(tooLong)).toEqual([]);
  });

  test("opens with a comment", () => {
    expect(sources.flatMap(withoutOpening)).toEqual([]);
  });
});

/** A unit test names the file that it tests, with or without an aspect (`launch-races`), or its whole folder. */
const withoutSource = ({ path }: Pick<TextFile, "path">, sources: ReadonlySet<string>): string[] => {
  const tested = path.replace("test/unit/", "").replace(/\.test\.ts$/, "");
  const folder = dirname(tested);
  const name = basename(tested);
  const names = [...sources].filter((source) => dirname(source) === folder).map((source) => basename(source));
  const isTested = names.some((source) => name === source || name.startsWith(`${source}-`));
  return isTested || name === basename(folder) ? [] : [`${path} tests no file of ${folder}`];
};

describe("unit test", () => {
  const files = readProject();
  const sources = new Set(files.map(({ path }) => path.replace(/\.[a-z]+$/, "")));

  test("has the path of the file that it tests", () => {
    const tests = files.filter(({ path }) => /^test\/unit\/.*\.test\.ts$/.test(path));
    expect(tests.length).toBeGreaterThan(100);
    expect(tests.flatMap((file) => withoutSource(file, sources))).toEqual([]);
  });
});

describe("sample file", () => {
  const faultsOf = (check: (file: TextFile) => string[], text: string) => check({ path: "libs/a.ts", text });

  test("is reported for its length", () => {
    expect(faultsOf(tooLong, "x;\n".repeat(401))).toHaveLength(1);
    expect(faultsOf(tooLong, "x;\n".repeat(400))).toEqual([]);
  });

  test.each(['import { x } from "./x.ts";', "/** A lease. */", "//", "\n// A lease."])(
    "is reported for its first line: %j",
    (text) => {
      expect(faultsOf(withoutOpening, text)).toHaveLength(1);
    },
  );

  test.each(["// A lease.\n", "#!/usr/bin/env node\n// A lease.\n"])(
    "passes with an opening comment: %j",
    (text) => {
      expect(faultsOf(withoutOpening, text)).toEqual([]);
    },
  );

  test.each([
    ["test/unit/libs/bus/lease.test.ts", []],
    ["test/unit/libs/bus/lease-races.test.ts", []],
    ["test/unit/libs/bus/bus.test.ts", []],
    ["test/unit/libs/bus/leases.test.ts", ["test/unit/libs/bus/leases.test.ts tests no file of libs/bus"]],
    ["test/unit/libs/lease.test.ts", ["test/unit/libs/lease.test.ts tests no file of libs"]],
  ])("is reported for a unit test without its source: %s", (path, faults) => {
    expect(withoutSource({ path }, new Set(["libs/bus/lease", "libs/fleet/absence"]))).toEqual(faults);
  });

  test("is reported by Biome for a default export, except in agent files", () => {
    const samples = mkdtempSync(join(tmpdir(), "greenroom-biome-"));
    onTestFinished(() => rmSync(samples, { recursive: true }));
    const write = (path: string, text: string) => {
      mkdirSync(join(samples, dirname(path)), { recursive: true });
      writeFileSync(join(samples, path), text);
    };
    cpSync(join(root, "biome.json"), join(samples, "biome.json"));
    write("libs/default.ts", "export default 1;\n");
    write("libs/renamed.ts", "const x = 1;\nexport { x as default };\n");
    write("libs/named.ts", "export const x = 1;\n");
    write("agents/default.ts", "export default 1;\n");
    expect(lint(samples)).toEqual(["libs/default.ts", "libs/renamed.ts"]);
  });
});

/** The files that break Biome's rule, with the project's own configuration. */
function lint(cwd: string): string[] {
  const biome = join(root, "node_modules/.bin/biome");
  const args = ["lint", "--vcs-enabled=false", "--reporter=github"];
  const { stdout } = spawnSync(biome, args, { cwd, encoding: "utf8" });
  const found = stdout.matchAll(/title=lint\/style\/noDefaultExport,file=([^,]+)/g);
  return [...found].map(([, path = ""]) => relative(cwd, path)).sort();
}
