// The format of source files: their length, their opening comment, and no default export.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
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
