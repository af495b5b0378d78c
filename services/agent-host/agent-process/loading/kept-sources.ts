// Keeps the sources of an agent file and of the modules of its project, so that the old code can be loaded after a change.
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import Module, { register } from "node:module";
import path from "node:path";
import type { Sources } from "../../pool/messages.ts";
import type { CommonJsLoader } from "./resolve-modules.ts";

const TEXT = /\.([mc]?[jt]sx?|json)$/;

/**
 * @param modules absolute paths of modules that this process has loaded
 * @returns undefined if a module has changed or gone since then, so that its text may be another one
 */
export async function sourcesOf(modules: readonly string[]): Promise<Sources | undefined> {
  try {
    const texts = modules
      .filter((file) => TEXT.test(file))
      .map(async (file) => {
        const text = await readFile(file, "utf8");
        const { ctimeMs } = await stat(file);
        if (ctimeMs > performance.timeOrigin) throw new Error(`${file} has changed`);
        return [file, text] as const;
      });
    return Object.fromEntries(await Promise.all(texts));
  } catch {
    return undefined;
  }
}

/**
 * Both threads that load modules run this. Node reads ES modules itself. Its CommonJS loader and tsx read with the
 * functions of node:fs.
 */
const hooks = `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  import { fileURLToPath } from "node:url";
  let sources = {};
  const pathOf = (url) => {
    const [plain] = String(url).split(/[?#]/);
    return plain.startsWith("file:") ? fileURLToPath(plain) : plain;
  };
  const find = (file) => {
    if (typeof file !== "string" && !(file instanceof URL)) return undefined;
    const key = Object.hasOwn(sources, file) ? file : pathOf(file);
    return Object.hasOwn(sources, key) ? sources[key] : undefined;
  };
  const encoded = (text, options) =>
    (typeof options === "string" ? options : options?.encoding) ? text : Buffer.from(text);
  export const use = (next) => { sources = next; };
  export const initialize = ({ port } = {}) => {
    port?.on("message", (next) => {
      use(next);
      port.postMessage("done");
    });
    port?.unref();
    const { readFileSync, promises: { readFile } } = fs;
    fs.readFileSync = (file, options) => {
      const text = find(file);
      return text === undefined ? readFileSync(file, options) : encoded(text, options);
    };
    fs.promises.readFile = async (file, options) => {
      const text = find(file);
      return text === undefined ? await readFile(file, options) : encoded(text, options);
    };
    syncBuiltinESMExports();
  };
  export async function resolve(specifier, context, next) {
    try {
      return await next(specifier, context);
    } catch (error) {
      if (!/^[./]|^file:/.test(specifier) || !URL.canParse(specifier, context.parentURL)) throw error;
      const url = new URL(specifier, context.parentURL).href;
      if (find(url) === undefined) throw error;
      return { url, shortCircuit: true };
    }
  }
  export async function load(url, context, next) {
    const source = url.startsWith("file:") ? find(url) : undefined;
    if (source === undefined) return await next(url, context);
    const isGone = !fs.existsSync(pathOf(url));
    const found = isGone ? { format: context.format ?? "module", source } : await next(url, context);
    return found.source == null ? found : { ...found, source, shortCircuit: true };
  }`;

interface Hooks {
  initialize(): void;
  use(sources: Sources): void;
}

/**
 * Called before any other hook is registered.
 * @returns a function that makes later imports load the sources it gets, although the files have changed or are gone
 */
export async function prepareForSources(): Promise<(sources: Sources) => Promise<void>> {
  const url = `data:text/javascript,${encodeURIComponent(hooks)}`;
  const { port1: thread, port2: port } = new MessageChannel();
  register(url, { data: { port }, transferList: [port] });
  const here = (await import(url)) as Hooks;
  here.initialize();
  let sources: Sources = {};
  requireFrom(() => sources);
  return async (next) => {
    sources = next;
    here.use(next);
    thread.postMessage(next);
    await once(thread, "message");
    thread.unref();
  };
}

const EXTENSIONS = ["", ".ts", ".tsx", ".cts", ".mts", ".js", ".cjs", ".mjs", ".json"];

/** Finds CommonJS modules of the sources whose files are gone, and compiles those that Node itself would have read. */
function requireFrom(current: () => Sources): void {
  const loader = Module as unknown as CommonJsLoader;
  const { _extensions: extensions, _resolveFilename: resolve } = loader;
  const { ".js": loadJs } = extensions;
  extensions[".js"] = (module, filename) => {
    const sources = current();
    const source = Object.hasOwn(sources, filename) ? sources[filename] : undefined;
    if (source === undefined) return loadJs(module, filename);
    try {
      module._compile(source, filename);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      loadJs(module, filename); // An ES module, perhaps.
    }
  };
  loader._resolveFilename = (request, parent, isMain, options) => {
    try {
      return resolve.call(Module, request, parent, isMain, options);
    } catch (error) {
      const file = path.resolve(path.dirname(parent?.filename ?? ""), request);
      const kept = EXTENSIONS.map((extension) => file + extension).find((name) =>
        Object.hasOwn(current(), name),
      );
      if (!/^[./]/.test(request) || kept === undefined) throw error;
      return kept;
    }
  };
}
