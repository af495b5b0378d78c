// Runs checks in order, each with a timeout. Skips a check if a check that it needs has failed.
import { messageOf } from "../../libs/contracts/errors.ts";
import { type Check, type Finding, failure, type Level, skipped, worstOf } from "./check.ts";

export interface CheckResult {
  readonly name: string;
  readonly title: string;
  readonly level: Level;
  readonly findings: readonly Finding[];
  readonly tookMs: number;
}

/** @param onResult receives each result immediately */
export async function runChecks<Sources>(
  checks: readonly Check<Sources>[],
  sources: Sources,
  onResult: (result: CheckResult) => void,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const next of checks) {
    const began = performance.now();
    const findings = await findingsOf(next, sources, results);
    const { name, title } = next;
    const tookMs = Math.round(performance.now() - began);
    const result = { name, title, level: worstOf(findings), findings, tookMs };
    results.push(result);
    onResult(result);
  }
  return results;
}

async function findingsOf<Sources>(
  next: Check<Sources>,
  sources: Sources,
  before: readonly CheckResult[],
): Promise<readonly Finding[]> {
  const missing = before.filter(
    ({ name, level }) => next.needs?.includes(name) === true && (level === "failure" || level === "skipped"),
  );
  if (missing.length > 0) {
    return [skipped(`Skipped, because of "${missing.map(({ title }) => title).join('" and "')}".`)];
  }
  const timeout = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding[]>((resolve) => {
    timer = setTimeout(() => {
      resolve([failure(`No answer within ${next.timeoutMs / 1000} s.`, next.todo)]);
      timeout.abort();
    }, next.timeoutMs);
  });
  const work = next
    .run(sources, timeout.signal)
    .catch((error: unknown): Finding[] => [failure(sentence(messageOf(error)), next.todo)]);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
