// Puts a program into the cache in one step, so that no other process sees an incomplete file.
import { rmSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * Creates a program in a new directory next to `target` and moves it to `target`. A concurrent installation replaces
 * it by an equal file; a running program keeps its old file.
 *
 * @param make creates the program in the given directory and returns its path
 */
export async function installInto(
  target: string,
  make: (directory: string) => Promise<string>,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  // In the same directory, because a rename is atomic only within a file system.
  const directory = await mkdtemp(join(dirname(target), ".install-"));
  const removeAtExit = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", removeAtExit);
  try {
    const program = await make(directory);
    await chmod(program, 0o755);
    await rename(program, target);
  } finally {
    process.off("exit", removeAtExit);
    await rm(directory, { recursive: true, force: true });
  }
}
