// A folder with some of the agents made for tests, so that a stack starts no process that it doesn't need.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const all = fileURLToPath(new URL("../../agents", import.meta.url));

const made: string[] = [];

/** Files of test/agents by their names, without ".ts"; one of a folder in there is a profile by its last part. */
export function agentsDir(...names: readonly string[]): string {
  const dir = mkdtempSync(join(tmpdir(), "greenroom-agents-"));
  for (const name of names) symlinkSync(join(all, `${name}.ts`), join(dir, `${basename(name)}.ts`));
  made.push(dir);
  return dir;
}

/** Call it when what ran on them has stopped. */
export function removeAgentsDirs(): void {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
}
