// Prepares the process for an agent file: resolves its imports, and makes its `cli.runApp` do nothing.
import Module, { createRequire, register } from "node:module";
import { fileURLToPath } from "node:url";
import * as agents from "@livekit/agents";
import * as rtc from "@livekit/rtc-node";
import * as agentApi from "./agent-api.ts";
import { SECOND_TRY } from "./import-agent.ts";

/** The parts of Node's CommonJS loader that its types leave out. */
interface CommonJsLoader {
  _load(request: string, parent: NodeJS.Module | undefined, isMain: boolean): unknown;
  _resolveFilename(
    request: string,
    parent: NodeJS.Module | undefined,
    isMain: boolean,
    options?: object,
  ): string;
}

/**
 * Resolves LiveKit's packages to Greenroom's copies, and other packages that the agents folder lacks.
 *
 * Two copies of @livekit/agents in one process do not see each other's job contexts. An agents folder with packages of
 * its own must therefore still get Greenroom's copy.
 */
export function resolveFromHere(): void {
  const hooks = `
    const home = ${JSON.stringify(import.meta.url)};
    const secondTry = ${JSON.stringify(SECOND_TRY)};
    const shared = /^(@livekit\\/(agents|rtc-node)|greenroom\\/agent)$/;
    export async function resolve(specifier, context, next) {
      if (shared.test(specifier)) return next(specifier, { ...context, parentURL: home });
      if (/^[./]/.test(specifier) && context.parentURL?.endsWith(secondTry)) {
        const found = await next(specifier, context);
        return { ...found, url: found.url + secondTry };
      }
      try {
        return await next(specifier, context);
      } catch (error) {
        if (error.code !== "ERR_MODULE_NOT_FOUND" || /^[./]|^[a-z]+:/.test(specifier)) throw error;
        return next(specifier, { ...context, parentURL: home }).catch(() => { throw error; });
      }
    }`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
  requireFromHere();
}

/**
 * The same for `require`, which Node.js also uses for the `import` of a .ts or .js file without "type": "module". The
 * CommonJS builds of LiveKit's packages would be second copies.
 */
function requireFromHere(): void {
  const shared = new Map<string, unknown>([
    ["@livekit/agents", agents],
    ["@livekit/rtc-node", rtc],
    ["greenroom/agent", agentApi],
  ]);
  const loader = Module as unknown as CommonJsLoader;
  const home = createRequire(import.meta.url);
  const { _load: load, _resolveFilename: resolve } = loader;
  loader._load = (request, parent, isMain) =>
    shared.get(request) ?? load.call(Module, request, parent, isMain);
  loader._resolveFilename = (request, parent, isMain, options) => {
    try {
      return resolve.call(Module, request, parent, isMain, options);
    } catch (error) {
      const isMissingPackage =
        (error as { code?: string }).code === "MODULE_NOT_FOUND" && !/^[./]/.test(request);
      if (!isMissingPackage || parent?.filename === import.meta.filename) throw error;
      try {
        return home.resolve(request);
      } catch {
        throw error;
      }
    }
  };
}

/**
 * Sets the arguments of this process to those of LiveKit's own job processes.
 *
 * Those import the agent file too, with the `cli.runApp(…)` at its end, which does nothing there because of the
 * arguments. With other arguments it would print its help and end the process. Other files guard that call by
 * `process.argv[1] === fileURLToPath(import.meta.url)`, which must be false as well.
 */
export function emulateJobProcessArgv(file: string): void {
  const program = new URL("./ipc/job_proc_lazy_main.js", import.meta.resolve("@livekit/agents"));
  process.argv = [process.execPath, fileURLToPath(program), file];
}
