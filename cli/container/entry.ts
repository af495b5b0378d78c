// The image's entry point: runs the service or tool that the command names, in the same process.
import { pathToFileURL } from "node:url";
import { compiledFile } from "../../libs/runtime/compiled.ts";
import { mapStackTraces } from "../../libs/runtime/stack-traces.ts";
import { programs, usage } from "./programs.ts";

/**
 * The first process of a container ignores signals without a handler. Services install theirs when they are loaded, and
 * tools have none, so these handlers end the process until then.
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
const [name] = process.argv.splice(2, 1);
const program = programs.get(name ?? "");
if (program === undefined) {
  console.error(usage(name));
  process.exit(2);
}
await import(pathToFileURL(compiledFile(program)).href);
