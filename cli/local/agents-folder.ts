// The folder of a project's agent files.
import { existsSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import {
  findProfiles,
  namedProfiles,
  type ProfileFile,
} from "../../services/agent-host/pool/find-profiles.ts";

/** Where projects keep their agent files, in the order of the search. */
export const USUAL_FOLDERS = ["agents", "src/agents", "src", "."];

export interface AgentsFolder {
  /** Absolute path. */
  readonly folder: string;
  /** Empty if there is no agent file. */
  readonly profiles: readonly ProfileFile[];
}

/**
 * The named folder, or else the project itself if its package.json names agent files, or else the first usual folder
 * with agent files.
 *
 * @throws Error if the named folder can't be read, or package.json is invalid
 */
export async function findAgents(named: string | undefined, project = "."): Promise<AgentsFolder> {
  if (named !== undefined) return await agentsIn(named);
  if ((await namedProfiles(project)).length > 0) return await agentsIn(project);
  for (const folder of USUAL_FOLDERS.map((each) => resolve(project, each)).filter(existsSync)) {
    const found = await agentsIn(folder);
    if (found.profiles.length > 0) return found;
  }
  const src = resolve(project, "src");
  return { folder: existsSync(src) ? src : resolve(project, "agents"), profiles: [] };
}

async function agentsIn(folder: string): Promise<AgentsFolder> {
  if (!existsSync(folder)) throw new Error(`The folder ${folder} does not exist.`);
  if (statSync(folder).isFile())
    throw new Error(`${folder} is a file. Name its folder, in which ${basename(folder)} is found.`);
  return { folder: resolve(folder), profiles: await findProfiles(resolve(folder)) };
}
