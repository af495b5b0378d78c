// Finds the agent files of a folder. The name of each file, or of its folder, is the name of its profile.
import { type Dirent, existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ProfileName } from "../../../libs/contracts/ids.ts";

export interface ProfileFile {
  readonly profile: string;
  /** Absolute path. */
  readonly file: string;
}

/** The part of a package.json that names agent files. */
const Package = z.object({
  name: z.string().optional().catch(undefined),
  main: z.string().optional().catch(undefined),
  greenroom: z.object({ agents: z.record(ProfileName, z.string()) }).optional(),
});

const AGENT_FILE = /^[^_.][^.]*\.(ts|mts|cts|js|mjs|cjs)$/;
/** The agent file of a folder: `support/index.ts` or `support/agent.ts`. */
const FOLDER_FILE = /^(index|agent)\.(ts|mts|cts|js|mjs|cjs)$/;
const NO_PROFILES = ["node_modules"];

/**
 * If the package.json of the folder has `greenroom.agents`, its profiles are the only ones. Otherwise the files of the
 * folder and its folders with an `index` or `agent` file are profiles. The `main` of a package.json is one too, in the
 * folder and in its folders.
 *
 * Names that begin with "_" or ".", and type declarations, are no profiles. Of two files with one name, such as `a.ts`
 * and the `a.js` compiled from it, the TypeScript file counts. A file counts before a folder.
 *
 * @param onRefused called for a file whose name can't be the name of a profile, with the reason
 * @throws Error when the folder can't be read, or its `greenroom.agents` is invalid
 */
export async function findProfiles(
  folder: string,
  onRefused: (file: string, reason: string) => void = () => {},
): Promise<ProfileFile[]> {
  const named = await namedProfiles(folder);
  if (named.length > 0) return named;
  const entries = (await readdir(folder, { withFileTypes: true })).sort(lastNameFirst);
  const found = new Map<string, ProfileFile>();
  const add = (profile: string, file: string) => {
    const isFound = [...found.values()].some((other) => other.file === path.resolve(folder, file));
    if (found.has(profile) || isFound) return;
    const { error } = ProfileName.safeParse(profile);
    if (error !== undefined) {
      onRefused(path.resolve(folder, file), error.issues.map(({ message }) => message).join("; "));
      return;
    }
    found.set(profile, { profile, file: path.resolve(folder, file) });
  };
  for (const { name } of entries.filter((entry) => !entry.isDirectory() && AGENT_FILE.test(entry.name)))
    add(name.slice(0, name.indexOf(".")), name);
  for (const { name } of entries.filter((entry) => entry.isDirectory() && isProfileFolder(entry.name))) {
    const inside = path.join(folder, name);
    // A folder of something else may have a package.json that is invalid.
    const file = (await fileInFolder(inside)) ?? (await mainOf(inside).catch(() => undefined))?.file;
    if (file !== undefined) add(name, path.join(name, file));
  }
  const main = await mainOf(folder);
  if (main !== undefined) add(main.profile, main.file);
  return [...found.values()].sort(byName);
}

/**
 * The profiles that the package.json of a folder names, with paths relative to the folder.
 * @throws Error if `greenroom.agents` is invalid
 */
export async function namedProfiles(folder: string): Promise<ProfileFile[]> {
  const { agents = {} } = (await readPackage(folder))?.greenroom ?? {};
  return Object.entries(agents)
    .map(([profile, file]) => ({ profile, file: path.resolve(folder, file) }))
    .sort(byName);
}

async function fileInFolder(folder: string): Promise<string | undefined> {
  const inside = await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => []);
  return inside.sort(lastNameFirst).find((entry) => !entry.isDirectory() && FOLDER_FILE.test(entry.name))
    ?.name;
}

/** The entry point of a project. Its profile has the name of the package, without a scope. */
async function mainOf(folder: string): Promise<ProfileFile | undefined> {
  const { main, name = "" } = (await readPackage(folder)) ?? {};
  if (main === undefined || !existsSync(path.resolve(folder, main))) return undefined;
  return { profile: path.basename(name) || path.parse(main).name, file: main };
}

async function readPackage(folder: string): Promise<z.infer<typeof Package> | undefined> {
  const file = path.join(folder, "package.json");
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = Package.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${file} is invalid: ${z.prettifyError(parsed.error)}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isProfileFolder = (name: string): boolean => !/^[_.]/.test(name) && !NO_PROFILES.includes(name);

const byName = (a: ProfileFile, b: ProfileFile): number => a.profile.localeCompare(b.profile);

/** TypeScript before JavaScript, and `index` before `agent`. */
const lastNameFirst = (a: Dirent, b: Dirent): number => (a.name < b.name ? 1 : -1);
