// Finds variables of modules that keep data of one session for the next one.
import { readFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { bundle } from "./agent-code.ts";

export interface ModuleVariable {
  readonly name: string;
  readonly line: number;
}

export interface SharedVariable extends ModuleVariable {
  /** Relative to the folder of the agent file. */
  readonly file: string;
}

/** A declaration at the top level, which formatters do not indent. */
const VARIABLE = /^(?:export\s+)?(?:let|var)\s+(\w+|[{[][^=]*[}\]])/;
const COLLECTION =
  /^(?:export\s+)?const\s+(\w+)[^=]*=\s*(?:new\s+(?:Map|Set|WeakMap|Array|\w*(?:Cache|LRU))\b|(?:\w+\.)*create\w*Cache\b|\[\s*\]|\{\s*\})/;

/** The variables that can change, caches and empty collections. A constant with contents is taken for a table. */
export function moduleVariables(source: string): ModuleVariable[] {
  return source.split("\n").flatMap((text, index) => {
    const name = VARIABLE.exec(text)?.[1] ?? COLLECTION.exec(text)?.[1];
    return name === undefined ? [] : [{ name, line: index + 1 }];
  });
}

/** The variables of an agent file, and of the modules of its project that it imports. */
export async function sharedVariables(file: string): Promise<SharedVariable[]> {
  const found: SharedVariable[] = [];
  for (const module of await projectModules(file)) {
    const at = relative(dirname(file), module);
    for (const variable of moduleVariables(await readFile(module, "utf8")))
      found.push({ ...variable, file: at });
  }
  return found;
}

/** A file that does not compile stands for itself. */
async function projectModules(file: string): Promise<string[]> {
  try {
    const { metafile } = await bundle(file);
    return Object.keys(metafile.inputs).map((path) => resolve(dirname(file), path));
  } catch {
    return [file];
  }
}
