// Reads the .env files of an agent file's project.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseEnv } from "node:util";

/** The first file wins, and variables that are set already win over both. */
const FILES = [".env.local", ".env"];

/** The variables of the files of a project that can be read. */
export const readProjectEnv = (project: string): Record<string, string | undefined> =>
  Object.assign(
    {},
    ...[...FILES].reverse().map((name) => {
      const file = path.join(project, name);
      return existsSync(file) ? parseEnv(readFileSync(file, "utf8")) : {};
    }),
  );

/** @returns the files that can't be read, with the reasons */
export function loadProjectEnv(project: string): { file: string; error: unknown }[] {
  return FILES.map((name) => path.join(project, name))
    .filter((file) => existsSync(file))
    .flatMap((file) => {
      try {
        process.loadEnvFile(file);
        return [];
      } catch (error) {
        return [{ file, error }];
      }
    });
}
