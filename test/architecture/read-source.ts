// What a source file imports and exports, read from its text: code only, without comments and templates.

export interface Source {
  /** From the top of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
  /** The text with comments and the insides of templates and regular expressions blanked out. */
  readonly code: string;
  /** What it imports, type imports too, as it is written. */
  readonly imports: readonly string[];
}

export function readSource(path: string, text: string): Source {
  const code = codeOf(text);
  return { path, text, code, imports: importsOf(code) };
}

const importForms = [
  // import x from "y", import type { x } from "y", export { x } from "y"
  /^\s*(?:import|export)\b[^'";]*?\bfrom\s*["']([^"']+)["']/gm,
  /^\s*import\s*["']([^"']+)["']/gm,
  /\bimport\s*\(\s*["']([^"']+)["']/g,
  /\brequire\s*\(\s*["']([^"']+)["']/g,
];

const importsOf = (code: string): string[] =>
  importForms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1] ?? ""));

/** Tokens that matter here, each tried at the place where the last one ended. */
const tokens: [kind: "blank" | "keep", form: RegExp][] = [
  ["blank", /\/\/[^\n]*/y],
  ["blank", /\/\*[\s\S]*?\*\//y],
  ["keep", /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y],
  ["keep", /[A-Za-z0-9_$]+|\s+/y],
];
const REGEX = /\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
/** After these a slash begins a regular expression; after anything else it divides. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\breturn|\btypeof|=>)\s*$/;

const blank = (text: string): string => text.replace(/[^\n]/g, " ");

function codeOf(text: string): string {
  let code = "";
  let at = 0;
  while (at < text.length) {
    const [end, isKept] = endOfToken(text, at, code);
    const piece = text.slice(at, end);
    code += isKept ? piece : blank(piece);
    at = end;
  }
  return code;
}

function endOfToken(text: string, at: number, before: string): [end: number, isKept: boolean] {
  for (const [kind, form] of tokens) {
    form.lastIndex = at;
    if (form.test(text)) return [form.lastIndex, kind === "keep"];
  }
  if (text[at] === "`") return [endOfTemplate(text, at + 1), false];
  if (text[at] === "/" && BEFORE_REGEX.test(before.slice(-40))) {
    REGEX.lastIndex = at;
    if (REGEX.test(text)) return [REGEX.lastIndex, false];
  }
  return [at + 1, true];
}

/** The place after the closing backtick; expressions in it may hold templates of their own. */
function endOfTemplate(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== "`") {
    if (text[at] === "\\") at += 2;
    else if (text.startsWith("${", at)) at = endOfExpression(text, at + 2);
    else at += 1;
  }
  return at + 1;
}

function endOfExpression(text: string, from: number): number {
  let depth = 1;
  let at = from;
  while (at < text.length && depth > 0) {
    const letter = text[at];
    if (letter === "`") {
      at = endOfTemplate(text, at + 1);
      continue;
    }
    if (letter === "{") depth += 1;
    if (letter === "}") depth -= 1;
    at += 1;
  }
  return at;
}
