// Builds vitest's command line and lists the files of a suite.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { repositoryRoot } from "../../libs/runtime/compiled.ts";
import type { TestFile } from "./choose-files.ts";

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

export const vitestCommand = (args: readonly string[]): [string, ...string[]] => [
  process.execPath,
  vitest,
  ...args,
];

/** The same command on the newest Node.js 24, which npm installs into its cache. */
export const onNode24 = ([, ...args]: readonly string[]): [string, ...string[]] => [
  "npx",
  "--yes",
  "--package",
  "node@24",
  "--",
  "node",
  ...args,
];

export async function listFiles(suite: string, env: NodeJS.ProcessEnv): Promise<TestFile[]> {
  const [program, ...args] = vitestCommand(["list", "--filesOnly", "--json", "--project", suite]);
  const { stdout } = await promisify(execFile)(program, args, { cwd: repositoryRoot, env });
  const found = JSON.parse(stdout) as { file: string }[];
  return found.map(({ file }) => ({ suite, file: relative(repositoryRoot, file) }));
}
