// The project of an agent file: the folder in which its process runs.
import { existsSync, realpathSync } from "node:fs";
import path from "node:path";

/**
 * The nearest folder with a package.json, at or above the file. LiveKit's own worker is started there, so the file finds
 * its `.env` and its `tsconfig.json` relative to it.
 *
 * @returns the file's own folder if no folder has a package.json
 */
export function projectOf(file: string): string {
  const start = path.dirname(existsSync(file) ? realpathSync(file) : file);
  for (let folder = start; ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, "package.json"))) return folder;
    if (folder === path.dirname(folder)) return start;
  }
}
