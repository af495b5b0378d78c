// Starts a program that ends with this process, even if this process is killed (I10).
import { type ChildProcess, spawn } from "node:child_process";

/**
 * The shell becomes the program (exec), so its pid, signals and exit code are the program's own. A watcher process
 * reads the pipe to the supervisor, which ends when the supervisor ends for any reason.
 *
 * The pipe is first moved to descriptor 3, because a shell without job control gives background commands /dev/null as
 * stdin. `read` is a builtin, so the watcher needs no child.
 */
const GUARD = `
exec 3<&0
program=$$
(
  read -r line <&3
  kill -TERM $program || exit 0
  tenths=0
  while [ $tenths -lt "$GUARD_TENTHS" ] && kill -0 $program; do sleep 0.1; tenths=$((tenths + 1)); done
  kill -KILL $program
) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
`;

export interface GuardOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** How long the program may take to stop before it is killed, after this process ended. */
  readonly graceMs?: number;
}

/**
 * Starts a program in its own process group, so that a Ctrl+C on the terminal does not reach it. Stop it by a signal.
 * Its stdout and stderr are pipes. On Windows, without a POSIX shell, the program runs unguarded.
 */
export function spawnGuarded(
  file: string,
  args: readonly string[],
  options: GuardOptions = {},
): ChildProcess {
  const { graceMs = 3000, cwd, env = process.env } = options;
  const where = cwd === undefined ? {} : { cwd };
  if (process.platform === "win32") {
    return spawn(file, args, { ...where, env, stdio: ["pipe", "pipe", "pipe"], windowsHide: true });
  }
  const child = spawn("/bin/sh", ["-c", GUARD, "greenroom-guard", file, ...args], {
    ...where,
    env: { ...env, GUARD_TENTHS: String(Math.ceil(graceMs / 100)) },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  // Ignores errors of the pipe to a program that just ended. Nothing is written to it.
  child.stdin?.on("error", () => {});
  // Ends the watcher, the last member of the group.
  child.on("exit", () => killGroup(child.pid, "SIGKILL"));
  return child;
}

/** Signals a process and its whole group. Succeeds if they are already gone. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? pid : -pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
