// `npm run prose`: prints what is wrong with the prose, file by file.
import { parseArgs } from "node:util";
import { findProse, findRetiredNames } from "./find.ts";
import { readProject } from "./read-files.ts";
import type { Finding } from "./rules.ts";

const HELP = `npm run prose -- [path …] [--rule name]

  path     only files whose path begins with this
  --rule   only one rule: word, opener, long, semicolons, title, length, name`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rule: { type: "string" },
    help: { type: "boolean" },
  },
});

// A reader such as `head` may close the pipe early.
process.stdout.on("error", () => process.exit());

if (values.help) {
  console.log(HELP);
} else {
  const files = readProject();
  print([...findProse(files), ...findRetiredNames(files)].filter(isWanted));
}

function isWanted({ path, rule }: Finding): boolean {
  const isThere = positionals.length === 0 || positionals.some((start) => path.startsWith(start));
  return isThere && (values.rule === undefined || values.rule === rule);
}

function print(findings: readonly Finding[]): void {
  const byPath = [...findings].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.line - b.line));
  for (const [path, ofFile] of groupBy(byPath, ({ path }) => path)) {
    console.log(`\n${path} (${ofFile.length})`);
    for (const { line, rule, excerpt, advice } of ofFile) {
      console.log(`  ${line}\t${rule}\t${excerpt}\t→ ${advice}`);
    }
  }
  console.log("\nprose\tnames\tarea");
  for (const [area, inArea] of [...groupBy(byPath, ({ path }) => areaOf(path)), ["all", byPath] as const]) {
    const names = inArea.filter(({ rule }) => rule === "name").length;
    console.log(`${inArea.length - names}\t${names}\t${area}`);
  }
}

/** The first two folders of a path. */
function areaOf(path: string): string {
  return path.split("/").slice(0, -1).slice(0, 2).join("/") || "root";
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
