// `greenroom download-files`: downloads the model files that the plugins of agent files need, by LiveKit's own command.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import { findProfiles, type ProfileFile } from "../../services/agent-host/pool/find-profiles.ts";
import { projectOf } from "../../services/agent-host/pool/project.ts";
import { readArguments } from "../arguments.ts";
import { findAgents } from "../local/agents-folder.ts";

const USAGE = `Usage: greenroom download-files [folder]

Downloads the files of the plugins that each agent file's project has installed, for example of turn detectors, with
the project's own @livekit/agents. In a container image, run it when you build the image.

  folder  the folder of the agent files; default: GREENROOM_AGENTS_DIR, or the one that greenroom dev finds

Exits with 1 if a download failed.`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { positionals } = readArguments(USAGE, {}, 1);
  const folder = positionals[0] ?? (process.env.GREENROOM_AGENTS_DIR || (await findAgents(undefined)).folder);
  let profiles: ProfileFile[];
  try {
    profiles = await findProfiles(path.resolve(folder));
  } catch (error) {
    console.error(`The folder ${folder} can't be read: ${messageOf(error)}`);
    return 1;
  }
  if (profiles.length === 0) console.log(`Found no agent files in ${folder}.`);
  const downloads = profiles.map(({ file }) => ({ project: projectOf(file), command: commandFor(file) }));
  let failures = 0;
  for (const { project, command } of new Map(
    downloads.map((each) => [JSON.stringify(each), each]),
  ).values()) {
    console.log(`${project}:`);
    const child = spawn(process.execPath, command, { cwd: project, stdio: "inherit" });
    const [exitCode] = (await once(child, "exit")) as [number | null];
    if (exitCode !== 0) failures += 1;
  }
  return failures > 0 ? 1 : 0;
}

/**
 * The command of the project's own @livekit/agents, once for each project. Before version 1.4.4, each agent file has the
 * command itself, in its `cli.runApp(…)`.
 */
function commandFor(file: string): string[] {
  const agents = packageOf("@livekit/agents", file);
  const { bin } = JSON.parse(readFileSync(path.join(agents, "package.json"), "utf8")) as {
    bin?: Readonly<Record<string, string>>;
  };
  const command = bin?.["livekit-agents"];
  return command === undefined
    ? ["--import", import.meta.resolve("tsx"), file, "download-files"]
    : [path.join(agents, command), "download-files"];
}

/** The folder of a package as the file would import it. A file without its own copy gets Greenroom's. */
function packageOf(name: string, file: string): string {
  let entry: string;
  try {
    entry = createRequire(file).resolve(name);
  } catch {
    entry = createRequire(import.meta.url).resolve(name);
  }
  let folder = path.dirname(entry);
  while (!existsSync(path.join(folder, "package.json"))) folder = path.dirname(folder);
  return folder;
}
