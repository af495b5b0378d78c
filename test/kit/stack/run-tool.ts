// Runs the tools that a person runs, as `npm run doctor`, and reads what they say.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { repositoryRoot } from "../../../cli/supervisor/fork-service.ts";

export interface DoctorAnswer {
  readonly exitCode: number | null;
  readonly ok: boolean;
  readonly summary: string;
  readonly checks: readonly {
    readonly name: string;
    readonly level: string;
    readonly findings: readonly {
      readonly level: string;
      readonly description: string;
      readonly todo?: string;
    }[];
  }[];
  /** Names of the checks that ended so. */
  named(level: string): string[];
  /** All that one check found, as text. */
  description(name: string): string;
}

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

export async function runDoctor(env: Readonly<Record<string, string | undefined>>): Promise<DoctorAnswer> {
  const { exitCode, text, errors } = await runTool("doctor", ["--json"], env);
  if (text === "") throw new Error(`The doctor said nothing, and on stderr: ${errors}`);
  const answer = JSON.parse(text) as Pick<DoctorAnswer, "ok" | "summary" | "checks">;
  return {
    exitCode,
    ...answer,
    named: (level) => answer.checks.filter((check) => check.level === level).map(({ name }) => name),
    description: (name) => JSON.stringify(answer.checks.find((check) => check.name === name)?.findings),
  };
}

interface ToolAnswer {
  readonly exitCode: number | null;
  readonly text: string;
  readonly errors: string;
}

export const runTool = (
  tool: "doctor" | "inspect",
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ToolAnswer> => startTool(`cli/${tool}/main.ts`, args, env).ended;

/** @param main the file that is run, from the repository's root */
export function startTool(
  main: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): {
  /** What it said so far. */
  said(): string;
  readonly ended: Promise<ToolAnswer>;
} {
  const child = spawn(process.execPath, ["--import", tsx, `${repositoryRoot}${main}`, ...args], {
    cwd: repositoryRoot,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  });
  let text = "";
  let errors = "";
  child.stdout.on("data", (part: Buffer) => {
    text += part.toString();
  });
  child.stderr.on("data", (part: Buffer) => {
    errors += part.toString();
  });
  const ended = new Promise<ToolAnswer>((resolve) =>
    child.once("close", (exitCode) => resolve({ exitCode, text, errors })),
  );
  return { said: () => text, ended };
}
