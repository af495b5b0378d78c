// Reads the .env files of an agent file's project.
import { existsSync } from "node:fs";
import path from "node:path";

/** The first file wins, and variables that are set already win over both. */
const FILES = [".env.local", ".env"];

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
