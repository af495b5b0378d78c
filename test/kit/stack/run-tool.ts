// Runs command-line tools such as `npm run doctor` and reads their output.
import { spawn } from "node:child_process";
import { compiledFile, repositoryRoot } from "../../../libs/runtime/compiled.ts";

export interface DoctorAnswer {
  readonly exitCode: number | null;
  readonly ok: boolean;
  readonly verdict: string;
  readonly checks: readonly {
    readonly name: string;
    readonly level: string;
    readonly findings: readonly {
      readonly level: string;
      readonly message: string;
      readonly todo?: string;
    }[];
  }[];
  /** The names of the checks with this level. */
  named(level: string): string[];
  /** All findings of one check, as text. */
  findingsOf(name: string): string;
}

export async function runDoctor(env: Readonly<Record<string, string | undefined>>): Promise<DoctorAnswer> {
  const { exitCode, text, errors } = await runTool("doctor", ["--json"], env);
  if (text === "") throw new Error(`The doctor printed nothing; stderr: ${errors}`);
  const answer = JSON.parse(text) as Pick<DoctorAnswer, "ok" | "verdict" | "checks">;
  return {
    exitCode,
    ...answer,
    named: (level) => answer.checks.filter((check) => check.level === level).map(({ name }) => name),
    findingsOf: (name) => JSON.stringify(answer.checks.find((check) => check.name === name)?.findings),
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

/** Starts a tool. @param main its file, relative to the repository's root */
export function startTool(
  main: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): {
  /** The output so far. */
  output(): string;
  readonly ended: Promise<ToolAnswer>;
} {
  const child = spawn(process.execPath, [compiledFile(main), ...args], {
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
  return { output: () => text, ended };
}
