// Stops the supervisor after Ctrl+C, other signals, and the end of npm.
import type { Log } from "../../libs/runtime/log.ts";
import { parentOf, programOf } from "./processes.ts";

/** npm forwards the terminal's SIGINT, so one Ctrl+C may arrive twice. */
const SAME_PRESS_MS = 500;
const POLL_NPM_MS = 500;

/** Calls `stop` at the first signal. A second one ends the process immediately, with 130 like in shells. */
export function onStopSignals(log: Log, stop: () => void): void {
  let firstAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      log.info({ signal }, "stopping; a second signal stops immediately");
      stop();
    } else if (performance.now() - firstAt > SAME_PRESS_MS) {
      log.warn({ signal }, "stopping immediately");
      process.exit(130);
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => onSignal(signal));
}

/**
 * Calls `call` once when `npm start` was killed.
 *
 * npm runs a script in a shell and forwards signals only to that shell, which dies and leaves its child running. Without
 * this check, a SIGTERM to npm would leave everything running. A process not started by npm may outlive its parent.
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
  }, POLL_NPM_MS);
  timer.unref();
}
