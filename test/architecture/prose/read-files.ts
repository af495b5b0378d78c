// Every file of the project that people read, with its text.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface TextFile {
  /** Relative to the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

const root = join(import.meta.dirname, "../../..");

const FOLDERS = ["agents", "cli", "deploy", "docs", "examples", "libs", "services", "test"];
const TEXT = /\.(?:ts|js|mjs|html|css|md|ya?ml|jsonc?|conf|sh|tpl|txt)$/;
const FILES_BY_NAME = /^(?:Dockerfile|\.dockerignore|\.env\.example|\.gitignore)$/;
const LEFT_OUT = /(?:^|\/)node_modules\/|^package-lock\.json$/;

export function readProject(): TextFile[] {
  const inFolders = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)),
  );
  return [...readdirSync(root), ...inFolders, ".ci/run"]
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !LEFT_OUT.test(path) && isText(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

const isText = (path: string): boolean =>
  path === ".ci/run" || TEXT.test(path) || FILES_BY_NAME.test(path.split("/").at(-1) ?? "");
