// Imports an agent file: JavaScript as Node does, TypeScript through tsx.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { setEnvironmentData } from "node:worker_threads";

/**
 * Marks the URLs of one evaluation of the file, including those of its project's modules. Node evaluates a module once
 * for each URL, and repeats the failure of an earlier import of the same URL.
 */
export const COPY = "greenroom-copy";

/** The key of the environment data that tells worker threads to register tsx. */
export const LOADS_TYPESCRIPT = "greenroom:typescript";

/**
 * Registers tsx for TypeScript, and for a JavaScript file that Node can't load by itself, e.g. because the file
 * imports TypeScript. Other files do without: tsx makes imports slower and starts an esbuild process.
 *
 * Registering it here, after this process has loaded its own modules, halves the CPU time of the start.
 *
 * @param copy a number that was not used before in this process, to evaluate the file and the modules of its project
 * again. 1 is the first evaluation
 */
export async function importAgent(file: string, copy = 1): Promise<Record<string, unknown>> {
  const plain = pathToFileURL(file).href;
  const url = copy === 1 ? plain : `${plain}?${COPY}=${copy}`;
  if (copy > 1) forgetProjectModules();
  if (/\.[mc]?ts$/.test(file)) {
    await registerTypeScript();
    return file.endsWith(".cts") ? requireAgent(file) : exportsOf(await import(url));
  }
  try {
    return exportsOf(await import(url));
  } catch (error) {
    if (!mayNeedTypeScript(error)) throw error;
    await registerTypeScript();
    return exportsOf(await import(`${plain}?${COPY}=${copy}-typescript`));
  }
}

let isTypeScriptRegistered = false;

export async function registerTypeScript(): Promise<void> {
  if (isTypeScriptRegistered) return;
  isTypeScriptRegistered = true;
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

/** Forgets the CommonJS modules of the project, so that they are evaluated again. Packages stay. */
function forgetProjectModules(): void {
  const { cache } = createRequire(import.meta.url);
  for (const name of Object.keys(cache)) {
    if (!/[\\/]node_modules[\\/]/.test(name)) delete cache[name];
  }
}
