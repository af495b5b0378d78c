// Finds variables of a module that keep data of one session for the next one.

export interface ModuleVariable {
  readonly name: string;
  readonly line: number;
}

/** A declaration at the top level, which formatters do not indent. */
const VARIABLE = /^(?:export\s+)?(let|var)\s+(\w+)/;
const COLLECTION =
  /^(?:export\s+)?const\s+(\w+)[^=]*=\s*(?:new\s+(?:Map|Set|WeakMap|Array)\b|\[\s*\]|\{\s*\})/;

/** The variables that can change, and the empty collections. A constant with contents is taken for a table. */
export function moduleVariables(source: string): ModuleVariable[] {
  return source.split("\n").flatMap((text, index) => {
    const name = VARIABLE.exec(text)?.[2] ?? COLLECTION.exec(text)?.[1];
    return name === undefined ? [] : [{ name, line: index + 1 }];
  });
}
