// Programs that `npm test` needs, and the error when they are missing.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureTools } from "../../../../kit/servers/tools.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "greenroom-tools-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const program = (name: string): string => {
  writeFileSync(join(directory, name), "#!/bin/sh\n", { mode: 0o755 });
  return join(directory, name);
};
/** A PATH with the tests' programs only, so that nothing is installed. */
const ensure = (env: Record<string, string> = {}) => ensureTools({ PATH: directory, ...env }, () => {});

test("uses the installed programs, and names Chromium for the tests", async () => {
  program("espeak-ng");
  program("sox");
  const chrome = program("google-chrome");
  expect(await ensure()).toEqual({ GREENROOM_CHROMIUM: chrome });
  const own = program("my-chromium");
  expect(await ensure({ GREENROOM_CHROMIUM: own })).toEqual({ GREENROOM_CHROMIUM: own });
});

test("reports what is missing with the command that installs it", async () => {
  program("sox");
  await expect(ensure()).rejects.toThrow(
    "The tests need chromium, espeak-ng. On Debian: sudo apt-get install chromium espeak-ng.",
  );
});

test("treats a named but missing Chromium as missing", async () => {
  for (const name of ["sox", "espeak-ng", "chromium"]) program(name);
  await expect(ensure({ GREENROOM_CHROMIUM: join(directory, "nothing") })).rejects.toThrow("need chromium.");
});
