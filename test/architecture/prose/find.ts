// Everything that the rules of prose and the retired names find in the project's files.
import type { TextFile } from "./read-files.ts";
import { lineCounter, readProse } from "./read-prose.ts";
import { retiredNames } from "./retired-names.ts";
import { checkLength, checkProse, type Finding } from "./rules.ts";

/** The rules themselves, and their samples, hold the words that they forbid. */
const RULES = /^test\/architecture\/(?:prose\/|prose\.test\.ts$)/;
/** Written by `npm run docs` from texts in the code. */
const GENERATED = /^docs\/reference\/(?:contracts|errors|settings)\.md$/;
/** Holds retired names, because it maps each retired setting to its successor. */
const RETIRED_SETTINGS = "libs/runtime/renamed-settings.ts";

export function findProse(files: readonly TextFile[]): Finding[] {
  return files
    .filter(({ path }) => !RULES.test(path) && !GENERATED.test(path))
    .flatMap((file) => [
      ...readProse(file).flatMap((prose) => checkProse(file.path, prose)),
      ...checkLength(file.path, file.text),
    ]);
}

export function findRetiredNames(files: readonly TextFile[]): Finding[] {
  return files
    .filter(({ path }) => !RULES.test(path) && !GENERATED.test(path) && path !== RETIRED_SETTINGS)
    .flatMap(({ path, text }) => [
      ...namesIn(path, path, () => 0),
      ...namesIn(path, text, lineCounter(text)),
    ]);
}

function namesIn(path: string, text: string, lineAt: (offset: number) => number): Finding[] {
  return retiredNames
    .filter(({ except }) => !except?.test(path))
    .flatMap(({ pattern, instead }) =>
      [...text.matchAll(pattern)].map(({ 0: match, index }) => ({
        path,
        line: lineAt(index),
        rule: "name",
        excerpt: match,
        advice: instead,
      })),
    );
}
