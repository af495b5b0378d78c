// The fingerprint of an agent's code, which is its version where a deployment sets none.
import { createHash } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import path from "node:path";

/** Files of a project that change what its code does. They name the packages, whose own files are not read. */
const MANIFESTS = [
  "package.json",
  "package-lock.json",
  "npm-shrinkwrap.json",
  "pnpm-lock.yaml",
  "yarn.lock",
  "tsconfig.json",
];
const LENGTH = 12;

/**
 * Equal on hosts with the same files in their projects, wherever these are.
 *
 * @param project the folder of the project
 * @param modules absolute paths of the agent file and of the modules of its project that it imports, in any order
 * @returns undefined if no module can be read, e.g. because a deployment has just moved the folder
 */
export async function fingerprintOf(
  project: string,
  modules: readonly string[],
): Promise<string | undefined> {
  const folder = await realpath(project).catch(() => project);
  const digests = new Map<string, string>();
  const add = async (file: string) => {
    try {
      const [text, real] = await Promise.all([readFile(file), realpath(file)]);
      const name = path.relative(folder, real).replaceAll(path.sep, "/");
      digests.set(name, createHash("sha256").update(text).digest("hex"));
    } catch {
      // Most manifests don't exist, and a module may be gone by now.
    }
  };
  await Promise.all(modules.map(add));
  if (digests.size === 0) return undefined;
  await Promise.all(MANIFESTS.map((name) => add(path.join(folder, name))));
  const lines = [...digests].sort(([a], [b]) => (a < b ? -1 : 1)).map((entry) => entry.join(" "));
  return createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, LENGTH);
}
