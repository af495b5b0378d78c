// Watches agent files, and what they import from their folder.
import path from "node:path";
import { watch } from "chokidar";
import type { ProfileFile } from "./find-profiles.ts";
import { projectOf } from "./project.ts";

/** An editor writes several files at once, and one file in several steps. */
const QUIET_MS = 300;
/** Code and settings. Other files may be written by the agents themselves. */
const RELEVANT = /(\.[mc]?[jt]sx?|[\\/](package|tsconfig)\.json|[\\/]\.env(\.local)?)$/;

/**
 * Calls `onChange` with the absolute paths of changed, new and deleted files. Packages and hidden folders don't count.
 *
 * @param onChange called again only after it has returned
 * @param onError called for an error of `onChange`, and if the files can't be watched
 * @returns a function that stops
 */
export function watchAgentFiles(
  folder: string,
  profiles: readonly ProfileFile[],
  onChange: (changed: ReadonlySet<string>) => Promise<void>,
  onError: (error: unknown) => void,
): () => Promise<void> {
  const projects = new Set([
    projectOf(path.join(folder, "_")),
    ...profiles.map(({ file }) => projectOf(file)),
  ]);
  const envFiles = [...projects].flatMap((project) =>
    [".env", ".env.local"].map((name) => path.join(project, name)),
  );
  const watcher = watch([folder, ...envFiles], {
    ignoreInitial: true,
    ignored: (file) => isHidden(path.relative(folder, file)),
  });
  let changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  const flush = async () => {
    const files = changed;
    changed = new Set();
    await onChange(files).catch(onError);
    timer = undefined;
    if (changed.size > 0) later();
  };
  const later = () => {
    timer ??= setTimeout(flush, QUIET_MS);
  };
  watcher.on("all", (_event, file) => {
    if (!RELEVANT.test(file)) return;
    changed.add(path.resolve(file));
    later();
  });
  watcher.on("error", onError);
  return async () => {
    clearTimeout(timer);
    await watcher.close();
  };
}

const isHidden = (relative: string): boolean =>
  relative
    .split(path.sep)
    .some((part) => part === "node_modules" || (/^\.[^.]/.test(part) && !part.startsWith(".env")));
