// Where an agent file's imports are found: LiveKit's packages always in our copy, the rest first in its own.
import Module, { createRequire, register } from "node:module";
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
 * Two copies of @livekit/agents in one process don't know each other's job contexts, so an agents folder with
 * packages of its own must still get ours; and a folder without any gets all of ours.
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
 * The same for `require`, to which also the `import` of a .ts or .js file comes where no package.json says
 * "type": "module". LiveKit's packages come in a CommonJS build too, which would be a second copy.
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
