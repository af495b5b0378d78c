// `greenroom init`: adds Greenroom to the project in this folder.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { messageOf } from "../../libs/contracts/errors.ts";
import { repositoryRoot } from "../../libs/runtime/compiled.ts";
import { readArguments } from "../arguments.ts";
import { agentCodeIn } from "../doctor/agent-code.ts";
import { INFERENCE_KEYS, usesInference } from "../doctor/inference-check.ts";
import { providersIn } from "../doctor/provider-keys.ts";
import { findAgents } from "../local/agents-folder.ts";
import { addToProject } from "./add-to-project.ts";

const USAGE = `Usage: greenroom init [folder]

Adds Greenroom to the project in this folder, and changes nothing that is there already.

  package.json   the dependency and the script greenroom
  .gitignore     the data folder
  .env.example   the keys of the providers that the agent files use

  folder  the folder of the agent files; default: the first usual one that has some

Exits with 1 if this folder has no package.json.`;

process.exitCode = await main().catch((error: unknown) => {
  console.error(messageOf(error));
  return 1;
});

async function main(): Promise<number> {
  const { positionals } = readArguments(USAGE, {}, 1);
  const packageJson = textOf("package.json");
  if (packageJson === undefined) {
    console.error(
      "This folder has no package.json. Run npm init first, or go to the folder of your project.",
    );
    return 1;
  }
  const { folder, profiles } = await findAgents(positionals[0]);
  const code = await agentCodeIn(folder);
  const changes = addToProject({
    packageJson,
    gitignore: textOf(".gitignore"),
    envExample: textOf(".env.example"),
    version: JSON.parse(readFileSync(`${repositoryRoot}package.json`, "utf8")).version,
    agentsFolder: relative(".", folder) || ".",
    keys: [
      ...providersIn(code, {}).map(({ provider }) => provider.key),
      ...(code.some(({ text }) => usesInference(text)) ? INFERENCE_KEYS : []),
    ],
  });
  for (const [name, text] of changes) {
    writeFileSync(name, text);
    console.log(`changed ${name}`);
  }
  if (changes.size === 0) console.log("This project has everything that Greenroom needs.");
  else console.log(`Next: ${packageManager()} install, then ${packageManager()} run greenroom`);
  if (profiles.length === 0)
    console.log(`No agent file was found. Put one into ${relative(".", folder) || "."}/.`);
  return 0;
}

/** The package manager whose lock file the project has. */
const packageManager = (): string =>
  [
    ["pnpm", "pnpm-lock.yaml"],
    ["yarn", "yarn.lock"],
    ["bun", "bun.lock"],
    ["bun", "bun.lockb"],
  ].find(([, lock = ""]) => existsSync(lock))?.[0] ?? "npm";

function textOf(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
