// Starts a program that can't outlive this process, not even when this process is killed.
import { type ChildProcess, spawn } from "node:child_process";

/**
 * The shell becomes the program (exec), so its pid, signals and exit code are the program's own. A watcher
 * stays beside it and reads the pipe to us: the pipe ends when we end, however we end.
 *
 * The pipe is moved to descriptor 3 first: a shell without job control gives /dev/null as stdin to what it
 * runs in the background. `read` is built in, so the watcher is one process and has no child.
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
  /** How long it may take to stop before it is killed, once we are gone. */
  readonly graceMs?: number;
}

/**
 * Starts it in a process group of its own, which a Ctrl+C on the terminal doesn't reach. Stop it by signal;
 * its stdout and stderr are pipes. Where there is no shell (Windows) it runs unguarded.
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
  // The pipe to a program that just ended: nothing is ever written to it, so nothing is lost.
  child.stdin?.on("error", () => {});
  // What is left of the group is the watcher, which has nothing to watch any more.
  child.on("exit", () => killGroup(child.pid, "SIGKILL"));
  return child;
}

/** Signals a process and all of its group; one that is gone already is fine. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? pid : -pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
