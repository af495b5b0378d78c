// Paths of compiled programs and of their files. cli/build.mjs compiles the repository to dist/, which mirrors it.
import { fileURLToPath } from "node:url";

/** Whether this process runs compiled code, not its source. */
export const isCompiled = import.meta.url.endsWith(".js");

/** The folder of package.json, with a slash at the end. */
export const repositoryRoot = fileURLToPath(new URL(isCompiled ? "../../.." : "../..", import.meta.url));

/**
 * The path of a file that is not code, which a build copies.
 *
 * @param source from the repository's root. A bundled program has a place of its own, so a path from `import.meta.url`
 *   would differ.
 */
export const assetFile = (source: string): string => `${repositoryRoot}${isCompiled ? "dist/" : ""}${source}`;

/**
 * The compiled file of a program. A child process runs it even when its parent runs from source, e.g. in a test.
 *
 * @param source the TypeScript file, from the repository's root
 */
export const compiledFile = (source: string): string =>
  `${repositoryRoot}dist/${source.replace(/\.ts$/, ".js")}`;
