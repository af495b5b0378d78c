// What a Ctrl+C means: once, stop in order; twice, stop now.
import type { Log } from "../../libs/runtime/log.ts";

/** npm passes on the SIGINT that the terminal sent to both of us, so one Ctrl+C may come twice. */
const SAME_PRESS_MS = 500;

/** Calls `stop` at the first signal; the second ends the process at once, with 130 as shells do. */
export function onStopSignals(log: Log, stop: () => void): void {
  let firstAt: number | undefined;
  const hear = (signal: NodeJS.Signals) => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      log.info({ signal }, "stopping; once more ends everything at once");
      stop();
    } else if (performance.now() - firstAt > SAME_PRESS_MS) {
      log.warn({ signal }, "ending everything at once");
      process.exit(130);
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => hear(signal));
}
