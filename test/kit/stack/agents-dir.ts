// A folder with some of the test agents, so that a stack starts no process that it doesn't need.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const all = fileURLToPath(new URL("../../agents", import.meta.url));

const made: string[] = [];

/** Links files of test/agents, named without ".ts". A file of a subfolder is a profile by the last part of its name. */
export function agentsDir(...names: readonly string[]): string {
  const dir = mkdtempSync(join(tmpdir(), "greenroom-agents-"));
  for (const name of names) symlinkSync(join(all, `${name}.ts`), join(dir, `${basename(name)}.ts`));
  made.push(dir);
  return dir;
}

/** Removes all folders; call it after the stacks on them have stopped. */
export function removeAgentsDirs(): void {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
}
