// Runs a program to its end and returns its output.
import { spawn } from "node:child_process";

export interface ProgramResult {
  /** Undefined if the program could not be started, or a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const KEPT_CHARS = 64 * 1024;

/** Never throws. A missing program results in no exit code, with the error in stderr. */
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
    // Ends the program together with this process, for example in the middle of a long build.
    const end = () => child.kill("SIGKILL");
    process.once("exit", end);
    child.on("error", (error) => resolve({ exitCode: undefined, stdout, stderr: error.message }));
    child.on("close", (code) => {
      process.off("exit", end);
      resolve({ exitCode: code ?? undefined, stdout, stderr });
    });
  });
}
