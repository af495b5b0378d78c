// Puts a program into the cache in one step, so that nobody ever sees half of it.
import { rmSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * Makes a directory next to `target`, has the program made there, and moves it to `target`. Whoever does the
 * same at the same time replaces it by an equal one; a program that runs already keeps its old file.
 *
 * @param make answers the path of the program in the directory that it is given.
 */
export async function installInto(
  target: string,
  make: (directory: string) => Promise<string>,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  // In the same directory, since a rename is atomic only on one file system.
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
