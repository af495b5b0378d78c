// Compiles TypeScript to dist/, which mirrors the repository. Plain JavaScript, so that it needs no loader itself.
//
// Each file has its own output, except the programs in BUNDLED. The output of such a program contains all that it
// imports, packages included. Reading a thousand files would take longer than anything else in its start.
//
// An output has the modification time of its source, and is stale when the two differ. A build writes each output
// to a folder of its own and renames it into place. Builds at the same time need no lock: they write the same bytes.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { decode, encode } from "@jridgewell/sourcemap-codec";

/** Programs for production, and the fake services that tests start. */
const FOLDERS = ["libs", "services", "cli", "test/kit/fakes/services"];
/** The three services of `npm start`. */
const BUNDLED = ["gateway", "control", "agent-host"].map((name) => `services/${name}/main.ts`);
/** Records what compiled dist/, and with which packages, because other ones make every output stale. */
const STAMP = "dist/.compiler";
const TEMPORARY = "dist/.build-";
/** A temporary folder that is older belongs to a build that was killed. */
const LONGEST_BUILD_MS = 600_000;
/** Packages in CommonJS require modules of Node, and look for their own folder. */
const COMMONJS = `import { createRequire as createRequireHere } from "node:module";
const require = createRequireHere(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;
const OPTIONS = { format: "esm", target: "node20", logLevel: "silent", sourcesContent: false };
const repository = fileURLToPath(new URL("..", import.meta.url));

/** @param {string} source from the repository's root, e.g. "cli/start.ts" */
export const outputOf = (source) => `dist/${source.replace(/\.ts$/, ".js")}`;

let previous = Promise.resolve();

/**
 * Compiles what is stale, and removes outputs whose source is gone.
 *
 * Builds of one process take turns, because they share esbuild's process, and each ends it.
 *
 * @returns {Promise<string[]>} the sources that were compiled or copied
 */
export function build(root = repository) {
  const turn = previous.then(() => buildNow(root));
  previous = turn.catch(() => {});
  return turn;
}

async function buildNow(root) {
  // Listed before the sources, or the output of a source that another build has just found would seem left over.
  const outputs = new Map(filesIn(root, "dist"));
  const sources = sourcesIn(root);
  const compiler = compilerId();
  const isSameCompiler = readText(join(root, STAMP)) === compiler;
  const stale = sources.filter(
    ([file, modifiedMs]) => !isSameCompiler || outputs.get(outputOf(file)) !== modifiedMs,
  );
  if (stale.length > 0 || !isSameCompiler) {
    mkdirSync(join(root, "dist"), { recursive: true });
    const temporary = mkdtempSync(join(root, TEMPORARY));
    try {
      await writeOutputs(root, temporary, sources, stale);
      if (!isSameCompiler) write(temporary, join(root, STAMP), compiler);
    } finally {
      rmSync(temporary, { recursive: true });
    }
  }
  const wanted = new Set(sources.map(([file]) => outputOf(file)));
  for (const file of outputs.keys()) if (isLeftOver(file, wanted)) rmSync(join(root, file), { force: true });
  removeKilledBuilds(root);
  return stale.map(([file]) => file);
}

const sourcesIn = (root) =>
  FOLDERS.flatMap((folder) => filesIn(root, folder)).filter(([file]) => isInput(file));

const isInput = (file) => !/\.(d\.m?ts|mjs)$/.test(file);

const isLeftOver = (file, wanted) =>
  !wanted.has(file.replace(/\.map$/, "")) && file !== STAMP && !file.startsWith(TEMPORARY);

function removeKilledBuilds(root) {
  for (const name of readdirSync(join(root, "dist"))) {
    const folder = join(root, "dist", name);
    if (!`dist/${name}`.startsWith(TEMPORARY)) continue;
    const modifiedMs = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (modifiedMs < Date.now() - LONGEST_BUILD_MS) rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns {[file: string, modifiedMs: number][]} all files of a folder, by their paths from the root */
function filesIn(root, folder) {
  let entries;
  try {
    entries = readdirSync(join(root, folder), { withFileTypes: true });
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
  return entries.flatMap((entry) => {
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesIn(root, file);
    const stat = statSync(join(root, file), { throwIfNoEntry: false });
    return stat === undefined ? [] : [[file, Math.round(stat.mtimeMs)]];
  });
}

async function writeOutputs(root, temporary, sources, stale) {
  const esbuild = await import("esbuild");
  try {
    // First, because the modification time of a bundle is that of one of its sources only.
    await writeBundles(esbuild, root, temporary, sources);
    const files = stale.filter(([file]) => !BUNDLED.includes(file));
    await Promise.all(files.map((file) => writeOutput(esbuild, root, temporary, file)));
  } catch (error) {
    throw describe(error, root);
  } finally {
    // Ends esbuild's process, which would otherwise live as long as this one.
    await esbuild.stop();
  }
}

async function writeOutput(esbuild, root, temporary, [file, modifiedMs]) {
  const output = join(root, outputOf(file));
  if (!file.endsWith(".ts")) {
    write(temporary, output, readFileSync(join(root, file)), modifiedMs);
    return;
  }
  const { code, map } = await esbuild.transform(readFileSync(join(root, file), "utf8"), {
    ...OPTIONS,
    loader: "ts",
    sourcefile: relative(dirname(outputOf(file)), file),
    sourcemap: "external",
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
  });
  write(temporary, `${output}.map`, map);
  const mapped = `${importOutputs(code)}//# sourceMappingURL=${basename(output)}.map\n`;
  write(temporary, output, mapped, modifiedMs);
}

async function writeBundles(esbuild, root, temporary, sources) {
  const modified = new Map(sources);
  const { outputFiles } = await esbuild.build({
    ...OPTIONS,
    entryPoints: BUNDLED.filter((file) => modified.has(file)),
    absWorkingDir: root,
    outbase: ".",
    outdir: "dist",
    bundle: true,
    write: false,
    platform: "node",
    banner: { js: COMMONJS },
    sourcemap: "linked",
  });
  // A newer build may have finished in the meantime, and its bundles must stay.
  const present = sourcesIn(root);
  if (JSON.stringify(present) !== JSON.stringify(sources))
    return writeBundles(esbuild, root, temporary, present);
  for (const { path, contents, text } of outputFiles) {
    const source = relative(join(root, "dist"), path).replace(/\.js$/, ".ts");
    write(temporary, path, path.endsWith(".map") ? withoutPackages(text) : contents, modified.get(source));
  }
}

/** Stack traces name lines of our own sources only, and a source map with all packages takes 0.3 s and 100 MB to read. */
function withoutPackages(text) {
  const map = JSON.parse(text);
  const isPackage = map.sources.map((source) => source.includes("node_modules/"));
  // One segment without a source ends the mapping, for all lines that follow.
  let isEnded = true;
  const lines = decode(map.mappings).map((segments) =>
    segments.flatMap((segment) => {
      const wasEnded = isEnded;
      isEnded = isPackage[segment[1]] ?? true;
      if (isEnded) return wasEnded ? [] : [segment.slice(0, 1)];
      return [segment];
    }),
  );
  return JSON.stringify({ ...map, mappings: encode(lines) });
}

/** esbuild's error, with the file and the line if it has them. */
function describe(error, root) {
  const [{ location, text } = {}] = error.errors ?? [];
  if (!location) return error;
  const file = relative(root, join(root, "dist", location.file));
  return new Error(`${file}:${location.line}:${location.column}: ${text}\n${location.lineText}`);
}

/** esbuild leaves the paths of imports as they are; an output's imports are outputs too. */
const importOutputs = (code) =>
  code.replace(/^((?:(?:import|export) .*|\} )from "\.[^"]*|import "\.[^"]*)\.ts"/gm, '$1.js"');

/** Writes the file elsewhere and renames it, so that no process reads half a file. */
function write(temporary, file, content, modifiedMs) {
  const whole = join(temporary, basename(file));
  writeFileSync(whole, content);
  if (modifiedMs !== undefined) utimesSync(whole, modifiedMs / 1000, modifiedMs / 1000);
  mkdirSync(dirname(file), { recursive: true });
  renameSync(whole, file);
}

/** This file and the installed packages, by their modification times. */
function compilerId() {
  const esbuild = createRequire(import.meta.url).resolve("esbuild/package.json");
  const installed = join(dirname(esbuild), "..", ".package-lock.json");
  const times = [fileURLToPath(import.meta.url), esbuild, installed].map(
    (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return times.map(Math.round).join(" ");
}

function readText(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const began = performance.now();
  const files = await build();
  const tookMs = Math.round(performance.now() - began);
  console.log(files.length === 0 ? "dist/ is up to date" : `compiled ${files.length} files in ${tookMs} ms`);
}
