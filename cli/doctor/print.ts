// Formats findings: a verdict and a line each for people, or one JSON object for programs.
import type { Finding, Level } from "./check.ts";
import { NOTHING_RUNS } from "./fleet-checks.ts";
import type { CheckResult } from "./run-checks.ts";

const MARKS: Readonly<Record<Level, { mark: string; color: number }>> = {
  ok: { mark: "ok      ", color: 32 },
  warning: { mark: "warning ", color: 33 },
  failure: { mark: "FAILURE ", color: 31 },
  note: { mark: "note    ", color: 90 },
  skipped: { mark: "-       ", color: 90 },
};

/** Problems come first. The rest keeps the order of the checks. */
const ORDER: readonly Level[] = ["failure", "warning"];

type Titled = Finding & { readonly title: string };

export interface TextOptions {
  readonly hasColor: boolean;
  /** Lists the notes instead of their number. */
  readonly showsNotes: boolean;
}

/** The verdict, the problems, and everything else. */
export function reportText(results: readonly CheckResult[], { hasColor, showsNotes }: TextOptions): string {
  const paint = (color: number, text: string) => (hasColor ? `\u001b[${color}m${text}\u001b[0m` : text);
  const all: Titled[] = results.flatMap(({ title, findings }) =>
    findings.map((each) => ({ ...each, title })),
  );
  const line = ({ level, title, message, todo }: Titled) => {
    const { mark, color } = MARKS[level];
    const text = `${paint(color, mark)} ${title}: ${message}`;
    return todo === undefined ? [text] : [text, `         ${paint(36, "→")} ${todo}`];
  };
  const problems = ORDER.flatMap((level) => all.filter((each) => each.level === level));
  const rest = all.filter(({ level }) => !ORDER.includes(level) && (showsNotes || level !== "note"));
  const notes = all.filter(({ level }) => level === "note");
  const folded = showsNotes || notes.length === 0 ? [] : [foldedLine(notes)];
  const color = MARKS[all.some(({ level }) => level === "failure") ? "failure" : "ok"].color;
  return [
    paint(color, verdictOf(results)),
    "",
    ...problems.flatMap(line),
    ...rest.flatMap(line),
    ...folded,
  ].join("\n");
}

const foldedLine = (notes: readonly Titled[]): string => {
  const titles = [...new Set(notes.map(({ title }) => title))].join(", ");
  return `${MARKS.note.mark} ${some(notes.length, "note")} about what nobody uses (${titles}): --all lists them.`;
};

/** 0: no failure. 1: a failure. 3: Greenroom is not running, and nothing else fails. */
export type DoctorExit = 0 | 1 | 3;

export function exitCodeOf(results: readonly CheckResult[]): DoctorExit {
  const failures = failuresOf(results);
  if (failures.length === 0) return 0;
  return failures.every(({ message }) => message === NOTHING_RUNS) ? 3 : 1;
}

const failuresOf = (results: readonly CheckResult[]): Finding[] =>
  results.flatMap(({ findings }) => findings).filter(({ level }) => level === "failure");

const some = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** The result in one line: the first failure, and the numbers of failures and warnings. */
export function verdictOf(results: readonly CheckResult[]): string {
  const failures = failuresOf(results);
  const warnings = results
    .flatMap(({ findings }) => findings)
    .filter(({ level }) => level === "warning").length;
  const warned = warnings === 0 ? "" : `, ${some(warnings, "warning")}`;
  switch (exitCodeOf(results)) {
    case 0:
      return `Greenroom works. No failures${warned}.`;
    case 3:
      return `Greenroom is not running. Nothing else fails${warned}.`;
    case 1:
      return `Greenroom has a problem. ${failures[0]?.message} (${some(failures.length, "failure")}${warned})`;
  }
}

export const jsonOf = (results: readonly CheckResult[]): string =>
  JSON.stringify(
    {
      ok: exitCodeOf(results) === 0,
      exitCode: exitCodeOf(results),
      verdict: verdictOf(results),
      checks: results,
    },
    null,
    2,
  );
