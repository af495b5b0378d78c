// Runs a program with inherited output, and stops it at its time-out.
import { spawn } from "node:child_process";

export interface CommandOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly timeoutMs?: number;
  /** The time between SIGTERM and SIGKILL. */
  readonly stopMs?: number;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly wasStopped: boolean;
}

/** The longest delay of Node's timers. */
const LONGEST_MS = 2 ** 31 - 1;

export function runCommand(
  program: string,
  args: readonly string[],
  { env, cwd, timeoutMs = LONGEST_MS, stopMs = 0 }: CommandOptions,
): Promise<CommandResult> {
  const child = spawn(program, args, { cwd, env, stdio: "inherit" });
  let wasStopped = false;
  let killing: NodeJS.Timeout | undefined;
  const stopping = setTimeout(
    () => {
      wasStopped = true;
      child.kill("SIGTERM");
      killing = setTimeout(() => child.kill("SIGKILL"), stopMs);
    },
    Math.min(Math.max(0, timeoutMs), LONGEST_MS),
  );
  // The terminal sends Ctrl+C to the child too; a SIGTERM is forwarded.
  const interrupted = () => {};
  const terminated = () => void child.kill("SIGTERM");
  process.on("SIGINT", interrupted).on("SIGTERM", terminated);
  return new Promise((resolve) => {
    const end = (exitCode: number) => {
      clearTimeout(stopping);
      clearTimeout(killing);
      process.off("SIGINT", interrupted).off("SIGTERM", terminated);
      resolve({ exitCode, wasStopped });
    };
    child.on("error", (error) => {
      console.error(`failed to start ${program}: ${error.message}`);
      end(1);
    });
    child.on("exit", (code) => end(code ?? 1));
  });
}
