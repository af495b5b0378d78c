// Lets an agent file that calls process.exit() end its own session only.

interface Exiting {
  exit(code: number | string): void;
}

/** Ends the code that called process.exit(), which expects that nothing after the call runs. */
export class ExitError extends Error {}

/**
 * Many files call `process.exit()` at the end of a call, since LiveKit gives each job a process of its own. Here the
 * process may serve other sessions. The exit of a job therefore ends that job; an exit outside of jobs ends the process.
 */
export function exitOnlyJobs(currentOwner: () => unknown, currentJob: () => Exiting | undefined): void {
  const exit = process.exit;
  process.exit = (code) => {
    // The code of a session that is over ends nothing any more.
    if (currentOwner() === undefined) return exit.call(process, code);
    currentJob()?.exit(code ?? process.exitCode ?? 0);
    throw new ExitError(`process.exit(${code ?? ""}) ended the session, and not the process`);
  };
}
