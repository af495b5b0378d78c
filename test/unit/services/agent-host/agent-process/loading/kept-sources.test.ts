// The sources that processes load instead of changed files.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sourcesOf } from "../../../../../../services/agent-host/agent-process/loading/kept-sources.ts";

const ESM = 'import { words } from "./helper.EXT"; export default words + import.meta.url.length;';
const ESM_HELPER = 'export const words = "old ";';
const CJS = 'const { words } = require("./helper"); module.exports = words + require("./data.json").length;';
const CJS_HELPER = 'exports.words = "old ";';

const CHANGED = 'throw new Error("the file has changed");';

const loading = path.resolve("services/agent-host/agent-process/loading");
let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(path.join(tmpdir(), "greenroom-sources-")));
  symlinkSync(path.resolve("node_modules"), path.join(folder, "node_modules"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (name: string) => path.join(folder, name);

/** The export of the file in a process that loads the sources. Its own code is compiled, as that of agent processes. */
async function load(file: string, sources: Record<string, string>): Promise<string> {
  await build({
    stdin: {
      contents: `
        import { importAgent } from "./import-agent.ts";
        import { prepareForSources } from "./kept-sources.ts";
        const loadFrom = await prepareForSources();
        await loadFrom(${JSON.stringify(sources)});
        const { default: exported } = await importAgent(${JSON.stringify(file)});
        console.log(exported.default ?? exported);`,
      resolveDir: loading,
    },
    outfile: at("load.mjs"),
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
  });
  return execFileSync(process.execPath, [at("load.mjs")], { encoding: "utf8" }).trim();
}

describe("prepareForSources", () => {
  test.each([
    ["main.mjs", ESM, "helper.mjs", ESM_HELPER, "commonjs"],
    ["main.js", ESM, "helper.js", ESM_HELPER, "module"],
    ["main.ts", ESM, "helper.ts", ESM_HELPER, "module"],
    ["main.mts", ESM, "helper.mts", ESM_HELPER, "commonjs"],
    ["main.cjs", CJS, "helper.js", CJS_HELPER, "commonjs"],
    ["main.js", CJS, "helper.js", CJS_HELPER, "commonjs"],
    ["main.cts", CJS, "helper.cts", CJS_HELPER, "commonjs"],
    ["main.ts", ESM, "helper.ts", ESM_HELPER, "commonjs"],
  ])(
    "loads %s and what it imports as they were, although they have changed or are gone",
    async (name, main, helper, helperText, type) => {
      writeFileSync(at("package.json"), JSON.stringify({ type }));
      writeFileSync(at(name), CHANGED);
      writeFileSync(at("data.json"), "{");
      const sources = {
        [at(name)]: main.replace("EXT", path.extname(helper).slice(1)),
        [at(helper)]: helperText,
        [at("data.json")]: '{ "length": 3 }',
      };
      const expected = main === CJS ? "old 3" : `old ${pathToFileURL(at(name)).href.length}`;
      expect(await load(at(name), sources)).toBe(expected);
      writeFileSync(at(helper), "");
      expect(await load(at(name), sources)).toBe(expected);
    },
  );
});

describe("sourcesOf", () => {
  test("knows no sources of files that have changed since the process began, or are gone", async () => {
    expect(await sourcesOf([path.join(loading, "kept-sources.ts"), "/lib/a.node"])).toEqual({
      [path.join(loading, "kept-sources.ts")]: expect.stringContaining("sourcesOf"),
    });
    mkdirSync(at("agents"));
    writeFileSync(at("agents/new.ts"), "");
    expect(await sourcesOf([at("agents/new.ts")])).toBeUndefined();
    expect(await sourcesOf([at("agents/none.ts")])).toBeUndefined();
  });
});
