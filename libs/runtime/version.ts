// Greenroom's version, by its package.json.
import { readFileSync } from "node:fs";
import { repositoryRoot } from "./compiled.ts";

export const greenroomVersion: string = (
  JSON.parse(readFileSync(`${repositoryRoot}package.json`, "utf8")) as { version: string }
).version;
