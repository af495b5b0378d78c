// Finds the prose in a file: comments, test titles, texts in string literals, paragraphs of Markdown and HTML.
import { type CallExpression, type Expression, type Node, parseSync, Visitor } from "oxc-parser";
import type { TextFile } from "./read-files.ts";

type Kind = "comment" | "title" | "group" | "text" | "heading" | "paragraph";

/** One paragraph of prose. */
export interface Prose {
  readonly kind: Kind;
  /** Code is replaced by `x`; line breaks are kept. */
  readonly text: string;
  /** The line of the file on which the text begins, from 1. */
  readonly line: number;
  /** Whether this is the first thing that the file says. */
  readonly opensFile: boolean;
}

export function readProse({ path, text }: TextFile): Prose[] {
  const pieces = piecesOf(path, text);
  return pieces
    .flatMap(paragraphsOf)
    .map((prose) => ({ ...prose, text: withoutCode(prose.text), opensFile: opensFile(prose) }));
}

type Piece = Omit<Prose, "opensFile">;

function piecesOf(path: string, text: string): Piece[] {
  if (/\.(?:ts|js|mjs)$/.test(path)) return piecesOfCode(path, text);
  if (path.endsWith(".md")) return piecesOfMarkdown(text);
  if (path.endsWith(".html")) return piecesOfHtml(text);
  if (/\.(?:jsonc?|css|txt)$/.test(path)) return [];
  return piecesOfLines(text);
}

const opensFile = ({ kind, line }: Piece): boolean => kind === "comment" && line <= 2;

function piecesOfCode(path: string, text: string): Piece[] {
  const { program, comments } = parseSync(path, text);
  const lineAt = lineCounter(text);
  return [...commentsOf(text, comments, lineAt), ...literalsOf(program, lineAt)];
}

interface Comment {
  readonly type: "Line" | "Block";
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

const DIRECTIVE = /^\s*(?:biome-ignore|@ts-|@vitest|<reference|!)/;

/** Line comments on consecutive lines are one text. */
function commentsOf(text: string, comments: readonly Comment[], lineAt: LineCounter): Piece[] {
  const pieces: { kind: "comment"; text: string; line: number }[] = [];
  let endOfLast = -1;
  for (const { type, value, start, end } of comments.filter(({ value }) => !DIRECTIVE.test(value))) {
    const isLine = type === "Line";
    const last = pieces.at(-1);
    if (isLine && last !== undefined && endOfLast >= 0 && /^\n[ \t]*$/.test(text.slice(endOfLast, start))) {
      last.text += `\n${value.trim()}`;
    } else {
      const said = isLine ? value.trim() : value.replace(/^[ \t]*\*+[ \t]?/gm, "");
      pieces.push({ kind: "comment", text: said, line: lineAt(start) });
    }
    endOfLast = isLine ? end : -1;
  }
  return pieces;
}

type Program = ReturnType<typeof parseSync>["program"];

/** A title names what a test shows; a group's title names what is tested. */
const TITLES: Record<string, Kind> = { test: "title", it: "title", describe: "group" };

function literalsOf(program: Program, lineAt: LineCounter): Piece[] {
  const pieces: Piece[] = [];
  const seen = new Set<Node>();
  const add = (node: Node, kind: Kind) => {
    if (seen.has(node)) return;
    const said = textOf(node, seen, lineAt);
    if (said !== undefined && (kind !== "text" || isProse(said))) {
      pieces.push({ kind, text: said, line: lineAt(node.start) });
    }
  };
  new Visitor({
    CallExpression(node) {
      const kind = TITLES[calledName(node)];
      if (kind !== undefined && node.arguments[0] !== undefined) add(node.arguments[0], kind);
    },
    ImportDeclaration(node) {
      seen.add(node.source);
    },
    BinaryExpression(node) {
      add(node, "text");
    },
    TemplateLiteral(node) {
      add(node, "text");
    },
    Literal(node) {
      add(node, "text");
    },
  }).visit(program);
  return pieces;
}

/** Returns the name at the root of a call that has a title: `test` of `test(…)`, `test.each(…)(…)` and `test.skipIf(…)(…)`. */
function calledName({ callee }: CallExpression): string {
  const isCurried = callee.type === "CallExpression" || callee.type === "TaggedTemplateExpression";
  let root: Expression = callee;
  if (callee.type === "CallExpression") root = callee.callee;
  if (callee.type === "TaggedTemplateExpression") root = callee.tag;
  if (takesData(root) !== isCurried) return "";
  while (root.type === "MemberExpression") root = root.object;
  return root.type === "Identifier" ? root.name : "";
}

const takesData = (callee: Expression): boolean =>
  callee.type === "MemberExpression" &&
  callee.property.type === "Identifier" &&
  /^(?:each|for|skipIf|runIf)$/.test(callee.property.name);

/** The text of a literal, or of several that are added up; undefined for anything else. */
function textOf(node: Node, seen: Set<Node>, lineAt: LineCounter): string | undefined {
  if (node.type === "Literal") {
    if (typeof node.value !== "string") return undefined;
    seen.add(node);
    return node.value.replaceAll("\n", " ");
  }
  if (node.type === "TemplateLiteral") {
    seen.add(node);
    return node.quasis.map(({ value }) => value.raw).join("`x`");
  }
  if (node.type !== "BinaryExpression" || node.operator !== "+") return undefined;
  seen.add(node);
  const left = textOf(node.left, seen, lineAt);
  const right = textOf(node.right, seen, lineAt);
  if (left === undefined && right === undefined) return undefined;
  const breaks = lineAt(node.right.start) - lineAt(node.left.end);
  return `${(left ?? "`x`").trimEnd()}${"\n".repeat(breaks)}${breaks === 0 ? " " : ""}${right ?? "`x`"}`;
}

/** Three words in a row, as in a sentence; not markup, code, or a list of names. */
const isProse = (text: string): boolean =>
  /(?:^|[\s`"'(])[A-Za-z][a-z'’-]*,? [a-z'’-]+,? [a-z'’-]+/.test(text) &&
  !/^\s*[<{[]|=>|<\/|\bimport .* from ["']|\bexport (?:const|default|type|[{*])|\bconst \w+ =|\$\(|; do\b/.test(
    text,
  );

/** Each paragraph, item of a list, cell of a table and heading is a piece. */
function piecesOfMarkdown(text: string): Piece[] {
  const pieces: { kind: Kind; text: string; line: number }[] = [];
  let isCode = false;
  let isOpen = false;
  for (const [index, line] of text.split("\n").entries()) {
    const add = (kind: Kind, said: string) => pieces.push({ kind, text: said, line: index + 1 });
    if (/^\s*```/.test(line)) isCode = !isCode;
    if (isCode || /^\s*(?:```|\|?[\s:|-]*$)/.test(line)) {
      isOpen = false;
    } else if (/^#+ /.test(line)) {
      add("heading", line.replace(/^#+ /, ""));
      isOpen = false;
    } else if (/^\s*\|/.test(line)) {
      for (const cell of line.split("|").slice(1, -1)) add("paragraph", cell.trim());
      isOpen = false;
    } else if (isOpen && !/^\s*(?:[-*]|\d+\.) /.test(line)) {
      const last = pieces.at(-1);
      if (last !== undefined) last.text += `\n${line.trim()}`;
    } else {
      add("paragraph", line.replace(/^\s*(?:[-*>]|\d+\.)? ?/, ""));
      isOpen = true;
    }
  }
  return pieces.map((piece) => ({ ...piece, text: piece.text.replace(/\]\([^)]*\)/g, "]") }));
}

function piecesOfHtml(text: string): Piece[] {
  const lineAt = lineCounter(text);
  const visible = text.replace(/<(script|style)\b[\s\S]*?<\/\1>/g, (code) => code.replace(/[^\n]/g, " "));
  return [...visible.matchAll(/(?<=>)[^<>]*[a-z][^<>]*(?=<)/g)].map(({ 0: said, index }) => ({
    kind: "paragraph",
    text: said.trim(),
    line: lineAt(index + said.search(/\S/)),
  }));
}

/** The comments of configuration and of shell scripts. */
function piecesOfLines(text: string): Piece[] {
  const pieces: { kind: Kind; text: string; line: number }[] = [];
  let isOpen = false;
  for (const [index, line] of text.split("\n").entries()) {
    const said = /^\s*#(?!!) ?(.*)$/.exec(line)?.[1];
    const last = pieces.at(-1);
    if (said === undefined) isOpen = false;
    else if (isOpen && last !== undefined) last.text += `\n${said}`;
    else {
      pieces.push({ kind: "comment", text: said, line: index + 1 });
      isOpen = true;
    }
  }
  return pieces;
}

/** A blank line, an item of a list and a JSDoc tag begin a paragraph; indented and fenced code is none. */
function paragraphsOf(piece: Piece): Piece[] {
  if (piece.kind !== "comment" && piece.kind !== "text") return [piece];
  const paragraphs: { kind: Kind; text: string; line: number }[] = [];
  let isOpen = false;
  let isCode = false;
  for (const [index, line] of piece.text.split("\n").entries()) {
    if (/^\s*```/.test(line)) isCode = !isCode;
    const last = paragraphs.at(-1);
    const begins = piece.kind === "text" ? /^ {2}/ : /^\s*(?:[-*•|] |\d+\. |@\w)/;
    if (isCode || /^\s*(?:```.*)?$/.test(line)) isOpen = false;
    else if (isOpen && last !== undefined && !begins.test(line)) {
      last.text += `\n${line}`;
    } else {
      const said = line.replace(
        /^\s*(?:[-*•|] |\d+\. |@(?:param|throws)\s+(?:\{.*?\}\s*)?\S+\s|@\w+\s?)?\s*/,
        "",
      );
      paragraphs.push({ kind: piece.kind, text: said, line: piece.line + index });
      isOpen = true;
    }
  }
  return paragraphs;
}

const withoutCode = (text: string): string =>
  text.replace(/``?[^`]+``?/g, (code) => `\`x\`${code.replace(/[^\n]/g, "")}`);

type LineCounter = (offset: number) => number;

export function lineCounter(text: string): LineCounter {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
