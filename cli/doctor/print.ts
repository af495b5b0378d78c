// Formats findings: a line each for people, or one JSON object for programs.
import type { Level } from "./check.ts";
import type { CheckResult } from "./run-checks.ts";

const MARKS: Readonly<Record<Level, { mark: string; color: number }>> = {
  ok: { mark: "ok      ", color: 32 },
  warning: { mark: "warning ", color: 33 },
  failure: { mark: "FAILURE ", color: 31 },
  skipped: { mark: "-       ", color: 90 },
};

export function resultText({ title, findings }: CheckResult, hasColor: boolean): string {
  const paint = (color: number, text: string) => (hasColor ? `\u001b[${color}m${text}\u001b[0m` : text);
  return findings
    .flatMap(({ level, message: description, todo }) => {
      const { mark, color } = MARKS[level];
      const line = `${paint(color, mark)} ${title}: ${description}`;
      return todo === undefined ? [line] : [line, `         ${paint(36, "→")} ${todo}`];
    })
    .join("\n");
}

export function summaryOf(results: readonly CheckResult[]): string {
  const count = (level: Level) =>
    results.flatMap(({ findings }) => findings).filter((finding) => finding.level === level).length;
  const [failures, warnings] = [count("failure"), count("warning")];
  const some = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;
  if (failures === 0 && warnings === 0) return "All checks passed.";
  if (failures === 0) return `No failures, ${some(warnings, "warning")}.`;
  return `${some(failures, "failure")}${warnings === 0 ? "" : `, ${some(warnings, "warning")}`}.`;
}

export const jsonOf = (results: readonly CheckResult[]): string =>
  JSON.stringify(
    { ok: results.every(({ level }) => level !== "failure"), summary: summaryOf(results), checks: results },
    null,
    2,
  );
