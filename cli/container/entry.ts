// The image's entry point: runs the service or tool that the command names, in this very process.
import { pathToFileURL } from "node:url";
import { compiledFile } from "../../libs/runtime/compiled.ts";
import { mapStackTraces } from "../../libs/runtime/stack-traces.ts";
import { programs, usage } from "./programs.ts";

/**
 * The first process of a container isn't ended by a signal that it has no handler for, and a service has its own
 * only once it is loaded. Until then this one serves, and for the tools, which have none, it always does.
 */
for (const [signal, exitCode] of [
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const) {
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(exitCode);
  });
}

mapStackTraces();
const [word] = process.argv.splice(2, 1);
const program = programs.get(word ?? "");
if (program === undefined) {
  console.error(usage(word));
  process.exit(2);
}
await import(pathToFileURL(compiledFile(program)).href);
