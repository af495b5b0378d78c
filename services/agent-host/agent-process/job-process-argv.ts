// Makes an agent file find itself in one of LiveKit's job processes, which don't start a worker.
import { fileURLToPath } from "node:url";

/**
 * LiveKit's own job processes import the agent file too, with the `cli.runApp(…)` at its end. That does
 * nothing there, because the arguments of the process are a program of LiveKit's and the file. With ours, it
 * would print its help and end the process, and `process.argv[1] === fileURLToPath(import.meta.url)`, by
 * which other files guard that call, must be false as well.
 */
export function emulateJobProcessArgv(file: string): void {
  const program = new URL("./ipc/job_proc_lazy_main.js", import.meta.resolve("@livekit/agents"));
  process.argv = [process.execPath, fileURLToPath(program), file];
}
