// Notices when the npm that started this process is gone.
import { parentOf, programOf } from "./processes.ts";

const LOOK_EVERY_MS = 500;

/**
 * Calls once when `npm start` was killed. npm runs a script through a shell and passes signals on to that
 * shell only, which dies of them and leaves its child alone: without this, a SIGTERM to npm would leave
 * everything running. One who was not started by npm has no launcher, and may outlive its parent.
 */
export function onLauncherGone(call: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const isShell = ["sh", "dash", "bash"].includes(programOf(parent) ?? "");
  const npm = isShell ? parentOf(parent) : undefined;
  const timer = setInterval(() => {
    if (process.ppid === parent && (npm === undefined || parentOf(parent) === npm)) return;
    clearInterval(timer);
    call();
  }, LOOK_EVERY_MS);
  timer.unref();
}
