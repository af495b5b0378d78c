// Compiles TypeScript to dist/, which mirrors the repository. Plain JavaScript, so that it needs no loader itself.
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

/** Programs for production, and the fake services that tests start. */
const FOLDERS = ["libs", "services", "cli", "test/kit/fakes/services"];
/** Records what compiled dist/, because another version of it makes every output stale. */
const STAMP = "dist/.compiler";
const TEMPORARY = "dist/.build-";
/** A temporary folder that is older belongs to a build that was killed. */
const LONGEST_BUILD_MS = 600_000;
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
  const sources = FOLDERS.flatMap((folder) => filesIn(root, folder)).filter(([file]) => isInput(file));
  const compiler = compilerId();
  const isSameCompiler = readText(join(root, STAMP)) === compiler;
  const stale = sources.filter(
    ([file, modifiedMs]) => !isSameCompiler || outputs.get(outputOf(file)) !== modifiedMs,
  );
  if (stale.length > 0 || !isSameCompiler) {
    mkdirSync(join(root, "dist"), { recursive: true });
    const temporary = mkdtempSync(join(root, TEMPORARY));
    try {
      await writeOutputs(root, temporary, stale);
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

async function writeOutputs(root, temporary, stale) {
  const esbuild = await import("esbuild");
  try {
    await Promise.all(
      stale.map(async ([file, modifiedMs]) => {
        const output = join(root, outputOf(file));
        if (!file.endsWith(".ts")) {
          write(temporary, output, readFileSync(join(root, file)), modifiedMs);
          return;
        }
        const { code, map } = await transform(esbuild, file, readFileSync(join(root, file), "utf8"));
        write(temporary, `${output}.map`, map);
        const mapped = `${importOutputs(code)}//# sourceMappingURL=${basename(output)}.map\n`;
        write(temporary, output, mapped, modifiedMs);
      }),
    );
  } finally {
    // Ends esbuild's process, which would otherwise live as long as this one.
    await esbuild.stop();
  }
}

async function transform(esbuild, file, text) {
  try {
    return await esbuild.transform(text, {
      loader: "ts",
      format: "esm",
      target: "node20",
      logLevel: "silent",
      sourcefile: relative(dirname(outputOf(file)), file),
      sourcemap: "external",
      sourcesContent: false,
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    });
  } catch (error) {
    const [{ location, text: reason } = {}] = error.errors ?? [];
    if (!location) throw error;
    throw new Error(`${file}:${location.line}:${location.column}: ${reason}\n${location.lineText}`);
  }
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

/** This file and esbuild, by their modification times. */
function compilerId() {
  const { resolve } = createRequire(import.meta.url);
  const parts = [fileURLToPath(import.meta.url), resolve("esbuild/package.json")];
  return parts.map((part) => Math.round(statSync(part).mtimeMs)).join(" ");
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
