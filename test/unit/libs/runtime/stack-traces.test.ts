// Reads the stack trace of an error in compiled code.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { compiledFile, repositoryRoot } from "../../../../libs/runtime/compiled.ts";

describe("mapStackTraces", () => {
  test("names the TypeScript line of a frame in compiled code", async () => {
    const urlOf = (source: string) => JSON.stringify(pathToFileURL(compiledFile(source)).href);
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--input-type=module",
      "--eval",
      `
      const { mapStackTraces } = await import(${urlOf("libs/runtime/stack-traces.ts")});
      mapStackTraces();
      const { readConfig } = await import(${urlOf("libs/runtime/config.ts")});
      try { readConfig({}, {}, null); } catch (error) { console.log(error.stack); }
      `,
    ]);
    const lines = readFileSync(`${repositoryRoot}libs/runtime/config.ts`, "utf8").split("\n");
    const line = 1 + lines.findIndex((text) => text.includes("[...known,"));
    const source = pathToFileURL(`${repositoryRoot}libs/runtime/config.ts`).href;
    expect(stdout).toContain("TypeError: known is not iterable");
    expect(stdout).toContain(`at readConfig (${source}:${line}:`);
  }, 30_000);
});
