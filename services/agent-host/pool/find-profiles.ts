// Finds the agent files of a folder. The name of each file is the name of its profile.
import { readdir } from "node:fs/promises";
import path from "node:path";
import { ProfileName } from "../../../libs/contracts/ids.ts";

export interface ProfileFile {
  readonly profile: string;
  /** Absolute path. */
  readonly file: string;
}

const AGENT_FILE = /^[^_.][^.]*\.(ts|mts|cts|js|mjs|cjs)$/;

/**
 * Files whose names begin with "_" or ".", and type declarations, are no agent files. Of two files with one name, such
 * as `a.ts` and the `a.js` compiled from it, the TypeScript file counts.
 *
 * @throws Error when the folder cannot be read
 */
export async function findProfiles(folder: string): Promise<ProfileFile[]> {
  const names = (await readdir(folder))
    .filter((name) => AGENT_FILE.test(name))
    .sort()
    .reverse();
  const found = new Map<string, ProfileFile>();
  for (const name of names) {
    const profile = name.slice(0, name.indexOf("."));
    if (!ProfileName.safeParse(profile).success || found.has(profile)) continue;
    found.set(profile, { profile, file: path.resolve(folder, name) });
  }
  return [...found.values()].sort((a, b) => a.profile.localeCompare(b.profile));
}
