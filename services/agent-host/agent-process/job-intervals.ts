// Ends the intervals that a file's own code has left running when its job is over.

interface Job {
  readonly intervals: Set<NodeJS.Timeout>;
}

/** The frame of the caller, after those of Error and of the replaced function. */
const CALLER = 2;

/**
 * LiveKit gives each job a process, with which its intervals end. Here other sessions use the process.
 *
 * Packages keep their intervals: several sessions may share what they belong to, for example a connection.
 */
export function endIntervalsWithJobs(currentJob: () => Job | undefined): void {
  const start = globalThis.setInterval;
  const startFollowed = (...args: Parameters<typeof start>) => {
    const timer = start(...args);
    const job = currentJob();
    if (job !== undefined && isOfProject(new Error().stack)) job.intervals.add(timer);
    return timer;
  };
  globalThis.setInterval = Object.assign(startFollowed, start);
}

/** False if the caller is not known: a package may have replaced `Error.prepareStackTrace`. */
function isOfProject(stack: unknown): boolean {
  const frame = typeof stack === "string" ? stack.split("\n")[CALLER] : undefined;
  return frame !== undefined && !/[\\/]node_modules[\\/]|\(node:|at node:/.test(frame);
}
