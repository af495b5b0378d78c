// Prepares the process for an agent file: resolves its imports, and makes its `cli.runApp` do nothing.
import Module, { createRequire, register } from "node:module";
import { fileURLToPath } from "node:url";
import { receiveMessageOnPort } from "node:worker_threads";
import * as rtc from "@livekit/rtc-node";
import * as agentApi from "../agent-api.ts";
import { COPY } from "./import-agent.ts";
import { agentsModuleSource } from "./run-app.ts";

interface CompiledModule extends NodeJS.Module {
  _compile(source: string, filename: string): void;
}

/** The parts of Node's CommonJS loader that its types leave out. */
export interface CommonJsLoader {
  readonly _extensions: Record<".js", (module: CompiledModule, filename: string) => void>;
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
 *
 * @param agentsExports the exports of @livekit/agents for `require`
 * @returns a function with the absolute paths of the project's modules that were imported so far
 */
export function resolveFromHere(agentsExports: object): () => string[] {
  const source = agentsModuleSource(import.meta.resolve("@livekit/agents"));
  const hooks = `
    const home = ${JSON.stringify(import.meta.url)};
    const agentsModule = ${JSON.stringify(`data:text/javascript,${encodeURIComponent(source)}`)};
    const copy = /[?&]${COPY}=[^&]+/;
    const shared = /^(@livekit\\/(agents|rtc-node)|greenroom\\/agent)$/;
    const greenroom = new URL("../../../../", home).href;
    const isOfProject = (url) =>
      url.startsWith("file:") && !url.includes("/node_modules/") && !url.startsWith(greenroom) && !copy.test(url);
    const reported = new Set();
    let port;
    export const initialize = (data) => { port = data.port; };
    const report = (url) => {
      const [plain] = url.split(/[?#]/);
      if (reported.has(plain) || !isOfProject(plain)) return;
      reported.add(plain);
      port.postMessage(plain);
    };
    export async function resolve(specifier, context, next) {
      if (specifier === "@livekit/agents" && !context.parentURL?.startsWith(greenroom))
        return { url: agentsModule, format: "module", shortCircuit: true };
      if (shared.test(specifier)) return next(specifier, { ...context, parentURL: home });
      try {
        const found = await next(specifier, context);
        report(found.url);
        const [mark] = copy.exec(context.parentURL ?? "") ?? [];
        if (mark === undefined || !isOfProject(found.url)) return found;
        return { ...found, url: found.url + (found.url.includes("?") ? "&" : "?") + mark.slice(1) };
      } catch (error) {
        if (error.code !== "ERR_MODULE_NOT_FOUND" || /^[./]|^[a-z]+:/.test(specifier)) throw error;
        return next(specifier, { ...context, parentURL: home }).catch(() => { throw error; });
      }
    }`;
  const { port1: reports, port2: port } = new MessageChannel();
  register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: { port }, transferList: [port] });
  reports.unref();
  requireFromHere(agentsExports);
  const imported = new Set<string>();
  return () => {
    for (let report = receiveMessageOnPort(reports); report; report = receiveMessageOnPort(reports))
      imported.add(fileURLToPath(report.message));
    return [...new Set([...imported, ...requiredModules()])];
  };
}

/** The CommonJS modules of the project, which a loader may have marked with a query. */
function requiredModules(): string[] {
  const names = Object.keys(createRequire(import.meta.url).cache);
  return names
    .filter((name) => !/[\\/]node_modules[\\/]/.test(name))
    .map((name) => name.replace(/\?.*$/, ""));
}

/**
 * The same for `require`, which Node.js also uses for the `import` of a .ts or .js file without "type": "module". The
 * CommonJS builds of LiveKit's packages would be second copies.
 */
function requireFromHere(agentsExports: object): void {
  const shared = new Map<string, unknown>([
    ["@livekit/agents", agentsExports],
    ["@livekit/rtc-node", rtc],
    ["greenroom/agent", agentApi],
  ]);
  const loader = Module as unknown as CommonJsLoader;
  const home = createRequire(import.meta.url);
  // From Node.js 22 on, a CommonJS file that is imported requires packages by their paths.
  for (const [name, exported] of [...shared]) {
    const file = pathOf(name, home);
    if (file !== undefined) shared.set(file, exported);
  }
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

function pathOf(name: string, from: NodeJS.Require): string | undefined {
  try {
    return from.resolve(name);
  } catch {
    return undefined;
  }
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
