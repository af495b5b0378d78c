// Paths of compiled programs. cli/build.mjs compiles the repository to dist/, which mirrors it.
import { fileURLToPath } from "node:url";

/** Whether this process runs compiled code, not its source. */
export const isCompiled = import.meta.url.endsWith(".js");

/** The folder of package.json, with a slash at the end. */
export const repositoryRoot = fileURLToPath(new URL(isCompiled ? "../../.." : "../..", import.meta.url));

/**
 * The compiled file of a program. A child process runs it even when its parent runs from source, e.g. in a test.
 *
 * @param source the TypeScript file, from the repository's root
 */
export const compiledFile = (source: string): string =>
  `${repositoryRoot}dist/${source.replace(/\.ts$/, ".js")}`;
