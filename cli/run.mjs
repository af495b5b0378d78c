// Runs a program of the repository, compiled, in this process: `node cli/run.mjs cli/start.ts`.
import { fileURLToPath } from "node:url";
import { build, outputOf } from "./build.mjs";

const [source] = process.argv.splice(2, 1);
if (source === undefined) {
  console.error("Usage: node cli/run.mjs <file.ts> [arguments]");
  process.exit(2);
}
try {
  await build();
} catch (error) {
  console.error(`failed to compile: ${error.message}`);
  process.exit(1);
}
const compiled = (file) => new URL(`../${outputOf(file)}`, import.meta.url);
const { mapStackTraces } = await import(compiled("libs/runtime/stack-traces.ts"));
mapStackTraces();
// Programs find their own path and arguments here, as if Node had started them.
process.argv[1] = fileURLToPath(compiled(source));
await import(compiled(source));
