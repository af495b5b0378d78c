// The agent files of a folder; each is a profile by its name.
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
 * Files whose names begin with "_" or "." and type declarations are none. Of two files with one name, as
 * `a.ts` and the `a.js` compiled from it, the TypeScript one is taken.
 *
 * @throws Error when the folder can't be read.
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
