// Runs checks one after another, each within its time, and none that has nothing to look at.
import { messageOf } from "../../libs/contracts/errors.ts";
import { type Check, type Finding, failure, type Level, skipped, worstOf } from "./check.ts";

export interface CheckResult {
  readonly name: string;
  readonly title: string;
  readonly level: Level;
  readonly findings: readonly Finding[];
  readonly tookMs: number;
}

/** @param tell is given each result when it is there */
export async function runChecks<Sources>(
  checks: readonly Check<Sources>[],
  sources: Sources,
  tell: (result: CheckResult) => void,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const one of checks) {
    const began = performance.now();
    const findings = await findingsOf(one, sources, results);
    const { name, title } = one;
    const tookMs = Math.round(performance.now() - began);
    const result = { name, title, level: worstOf(findings), findings, tookMs };
    results.push(result);
    tell(result);
  }
  return results;
}

async function findingsOf<Sources>(
  one: Check<Sources>,
  sources: Sources,
  before: readonly CheckResult[],
): Promise<readonly Finding[]> {
  const missing = before.filter(
    ({ name, level }) => one.needs?.includes(name) === true && (level === "failure" || level === "skipped"),
  );
  if (missing.length > 0) {
    return [skipped(`Not looked at, because of "${missing.map(({ title }) => title).join('" and "')}".`)];
  }
  const time = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding[]>((resolve) => {
    timer = setTimeout(() => {
      resolve([failure(`There was no answer within ${one.timeoutMs / 1000} s.`, one.todo)]);
      time.abort();
    }, one.timeoutMs);
  });
  const work = one
    .run(sources, time.signal)
    .catch((error: unknown): Finding[] => [failure(sentence(messageOf(error)), one.todo)]);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
