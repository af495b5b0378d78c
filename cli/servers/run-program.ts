// Runs a program to its end and keeps what it said.
import { spawn } from "node:child_process";

export interface ProgramResult {
  /** Undefined: it could not be started at all, or was ended by a signal. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const KEPT_CHARS = 64 * 1024;

/** Never throws: a program that isn't there answers without an exit code, and its error as stderr. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: { timeoutMs: number; env?: NodeJS.ProcessEnv; cwd?: string },
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    let stdout = "";
    let stderr = "";
    const child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.timeoutMs,
      killSignal: "SIGKILL",
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    child.stdout.on("data", (part) => {
      stdout = (stdout + part).slice(-KEPT_CHARS);
    });
    child.stderr.on("data", (part) => {
      stderr = (stderr + part).slice(-KEPT_CHARS);
    });
    // A long build must not go on when we are told to end in the middle of it.
    const end = () => child.kill("SIGKILL");
    process.once("exit", end);
    child.on("error", (error) => resolve({ exitCode: undefined, stdout, stderr: error.message }));
    child.on("close", (code) => {
      process.off("exit", end);
      resolve({ exitCode: code ?? undefined, stdout, stderr });
    });
  });
}
