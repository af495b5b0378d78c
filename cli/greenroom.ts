#!/usr/bin/env node
// The command `greenroom`, and the image's entry point: runs a service or a command in the same process.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { compiledFile, repositoryRoot } from "../libs/runtime/compiled.ts";
import { mapStackTraces } from "../libs/runtime/stack-traces.ts";
import { isService, programs, serviceUsage, unknownProgram, usage } from "./programs.ts";

/**
 * The first process of a container ignores signals without a handler. Services install theirs when they are loaded, and
 * commands have none, so these handlers end the process until then.
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
const [name = ""] = process.argv.splice(2, 1);
const program = programs.get(name);
if (program === undefined) process.exit(answerWithoutProgram(name));
if (isService(name) && process.argv.length > 2) process.exit(answerForService(name, process.argv[2]));
await import(pathToFileURL(compiledFile(program)).href);

/** @returns the exit code */
function answerWithoutProgram(word: string): number {
  if (["--help", "-h", "help"].includes(word)) console.log(usage());
  else if (["--version", "-v"].includes(word))
    console.log(JSON.parse(readFileSync(`${repositoryRoot}package.json`, "utf8")).version);
  else {
    console.error(word === "" ? usage() : unknownProgram(word));
    return 2;
  }
  return 0;
}

/** @returns the exit code */
function answerForService(service: string, word: string | undefined): number {
  if (word === "--help" || word === "-h") {
    console.log(serviceUsage(service));
    return 0;
  }
  console.error(`greenroom ${service} takes no arguments.\n\n${serviceUsage(service)}`);
  return 2;
}
