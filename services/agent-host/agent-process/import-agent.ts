// Imports an agent file: JavaScript as Node does, TypeScript through tsx.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { setEnvironmentData } from "node:worker_threads";

/** Marks the URLs of a second try. Without it, Node would repeat the failure of the first. */
export const SECOND_TRY = "?typescript";

/** The key of the environment data that tells worker threads to register tsx. */
export const LOADS_TYPESCRIPT = "greenroom:typescript";

/**
 * Registers tsx for TypeScript, and for a JavaScript file that Node can't load by itself, e.g. because the file
 * imports TypeScript. Other files do without: tsx makes imports slower and starts an esbuild process.
 *
 * Registering it here, after this process has loaded its own modules, halves the CPU time of the start.
 */
export async function importAgent(file: string): Promise<Record<string, unknown>> {
  const url = pathToFileURL(file).href;
  if (/\.[mc]?ts$/.test(file)) {
    await registerTypeScript();
    return file.endsWith(".cts") ? requireAgent(file) : exportsOf(await import(url));
  }
  try {
    return exportsOf(await import(url));
  } catch (error) {
    if (!mayNeedTypeScript(error)) throw error;
    await registerTypeScript();
    return exportsOf(await import(`${url}${SECOND_TRY}`));
  }
}

export async function registerTypeScript(): Promise<void> {
  const [esm, cjs] = await Promise.all([import("tsx/esm/api"), import("tsx/cjs/api")]);
  cjs.register();
  esm.register();
  // Worker threads and forked processes of the file inherit the loader.
  setEnvironmentData(LOADS_TYPESCRIPT, true);
  process.execArgv.push("--import", import.meta.resolve("tsx"));
}

/**
 * The exports of the file. The import of CommonJS, which TypeScript without "type": "module" becomes, has all of them in
 * its default export.
 */
function exportsOf(module: Record<string, unknown>): Record<string, unknown> {
  const inner = module.default as Record<string, unknown> | undefined;
  return inner?.default === undefined ? module : { ...module, ...inner };
}

/** Uses `require`: a CommonJS file that Node imports through a loader can't require LiveKit's ES modules. */
function requireAgent(file: string): Record<string, unknown> {
  const exported = createRequire(import.meta.url)(file) as Record<string, unknown>;
  return { default: exported, ...exported };
}

/** Whether Node lacks a file or an extension that tsx finds, or refuses syntax that tsx accepts. */
function mayNeedTypeScript(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return (
    error instanceof SyntaxError ||
    code === "ERR_UNKNOWN_FILE_EXTENSION" ||
    /^Cannot find module '[./]| in ES module scope/.test(message ?? "")
  );
}
