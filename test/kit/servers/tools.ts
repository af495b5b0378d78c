// The programs of the browser tests: Chromium, and the speech synthesis for its microphone.
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { runProgram } from "../../../cli/servers/run-program.ts";

type Env = Readonly<Record<string, string | undefined>>;

interface Tool {
  /** The Debian package. */
  readonly package: string;
  readonly names: readonly string[];
  /** The variable that names another binary. */
  readonly setting?: string;
}

const tools: readonly Tool[] = [
  {
    package: "chromium",
    names: ["chromium", "chromium-browser", "google-chrome"],
    setting: "GREENROOM_CHROMIUM",
  },
  { package: "espeak-ng", names: ["espeak-ng"] },
  { package: "sox", names: ["sox"] },
];

const APT_MS = 15 * 60_000;

/**
 * Makes sure that all programs are installed. On Debian, and as root, the function installs what is missing.
 *
 * @returns the variables that name the programs
 * @throws Error that names the missing programs and how to install them
 */
export async function ensureTools(env: Env, log: (line: string) => void): Promise<Record<string, string>> {
  let missing = await missingOf(env);
  if (missing.length > 0 && process.getuid?.() === 0 && (await findProgram(["apt-get"], env)) !== undefined) {
    const packages = missing.map((tool) => tool.package);
    log(`installing ${packages.join(", ")}`);
    const aptEnv = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await runProgram("apt-get", ["update", "-q"], { timeoutMs: APT_MS, env: aptEnv });
    const args = ["install", "-y", "-q", "--no-install-recommends", ...packages];
    const { exitCode, stderr } = await runProgram("apt-get", args, { timeoutMs: APT_MS, env: aptEnv });
    if (exitCode !== 0) log(`apt-get failed: ${stderr.trim()}`);
    missing = await missingOf(env);
  }
  if (missing.length > 0) {
    const names = missing.map((tool) => tool.package).join(", ");
    throw new Error(
      `The tests need ${names}. On Debian: sudo apt-get install ${missing.map((tool) => tool.package).join(" ")}. ` +
        "Set GREENROOM_CHROMIUM to use a Chromium elsewhere.",
    );
  }
  return { GREENROOM_CHROMIUM: (await pathOf(tools[0]!, env))! };
}

async function missingOf(env: Env): Promise<Tool[]> {
  const paths = await Promise.all(tools.map((tool) => pathOf(tool, env)));
  return tools.filter((_tool, index) => paths[index] === undefined);
}

async function pathOf(tool: Tool, env: Env): Promise<string | undefined> {
  const named = tool.setting === undefined ? undefined : env[tool.setting];
  if (named) return (await isExecutable(named)) ? named : undefined;
  return await findProgram(tool.names, env);
}

async function findProgram(names: readonly string[], env: Env): Promise<string | undefined> {
  for (const name of names) {
    for (const directory of (env.PATH ?? "").split(delimiter).filter(Boolean)) {
      if (await isExecutable(join(directory, name))) return join(directory, name);
    }
  }
  return undefined;
}

const isExecutable = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
