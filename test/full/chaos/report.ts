// The report of a chaos run, as text for the terminal and as JSON.
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { quantile } from "../../bench/statistics.ts";
import type { Evidence, Violation, Written } from "./evidence.ts";

export interface Report {
  readonly seed: number;
  readonly minutes: number;
  readonly violations: readonly (Violation & { readonly history?: readonly HistoryLine[] })[];
  readonly sessions: {
    readonly requested: number;
    readonly accepted: number;
    readonly becameReady: number;
    readonly failedOver: number;
    readonly endedByReason: Readonly<Record<string, number>>;
    readonly byAttempts: Readonly<Record<string, number>>;
  };
  readonly answers: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly forged: Readonly<Record<string, number>>;
  readonly revisions: number;
  readonly calls: number;
  readonly tasks: {
    readonly requested: number;
    readonly accepted: number;
    readonly byState: Readonly<Record<string, number>>;
    readonly dialed: number;
  };
  /** The number of call records of ended sessions. */
  readonly callRecords: number;
  /** The times from the loss of an agent to the next ready revision, in ms. */
  readonly lossToReady: Distribution;
  /** The silences of over half a second that users heard, in ms. */
  readonly silence: Distribution;
  readonly deadLetters: number;
  /** Failures of the run itself. */
  readonly problems: readonly string[];
}

interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

interface HistoryLine {
  readonly atMs: number;
  readonly revision: number;
  readonly state: string;
  readonly attempt: number;
  readonly host: string | undefined;
  readonly reason: string | undefined;
}

export function reportOn(
  evidence: Evidence,
  violations: readonly Violation[],
  minutes: number,
  problems: readonly string[],
): Report {
  const lives = livesIn(evidence.written);
  // Sessions of tasks are counted with their tasks.
  const ofTasks = new Set(
    evidence.remains.tasks.flatMap(({ attempts }) => attempts.map(({ sessionId }) => sessionId)),
  );
  const started = [...lives].flatMap(([id, life]) => (ofTasks.has(id) ? [] : [life]));
  const newest = started.map((life) => life.at(-1)!.record!);
  const accepted = new Set(evidence.starts.flatMap(({ sessionId }) => sessionId ?? []));
  return {
    seed: evidence.seed,
    minutes,
    violations: violations.map((violation) => {
      const life = violation.sessionId === undefined ? undefined : lives.get(violation.sessionId);
      return life === undefined ? violation : { ...violation, history: life.map(lineOf) };
    }),
    sessions: {
      requested: new Set(evidence.starts.map(({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`))
        .size,
      accepted: accepted.size,
      becameReady: started.filter((life) => life.some(({ record }) => record?.state === "ready")).length,
      failedOver: started.filter(hadFailover).length,
      endedByReason: counts(newest.map(({ state, endedReason }) => endedReason ?? state)),
      byAttempts: counts(newest.map(({ attempt }) => String(attempt))),
    },
    answers: counts(
      evidence.starts.map(({ status, errorCode }) => [status, errorCode ?? ""].join(" ").trim()),
    ),
    faults: counts(evidence.faults.map(({ kind }) => kind)),
    forged: counts(evidence.events.flatMap(({ forgery }) => forgery ?? [])),
    revisions: evidence.written.length,
    calls: evidence.heard.length,
    tasks: {
      requested: new Set(
        evidence.sentTasks.map(({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`),
      ).size,
      accepted: new Set(evidence.sentTasks.flatMap(({ taskId }) => taskId ?? [])).size,
      byState: counts(evidence.remains.tasks.map(({ state }) => state)),
      dialed: evidence.remains.dialed.length,
    },
    callRecords: evidence.remains.calls.length,
    lossToReady: distributionOf([...lives.values()].flatMap(waitsIn)),
    silence: distributionOf(
      evidence.heard.flatMap(({ gaps }) => gaps.map(({ fromMs, toMs }) => toMs - fromMs)),
    ),
    deadLetters: evidence.remains.deadLetters.length,
    problems,
  };
}

export function textOf(report: Report): string {
  const { sessions, tasks, violations } = report;
  const lines = [
    `Chaos run of ${report.minutes} min, seed ${report.seed}`,
    `sessions: ${sessions.requested} requested, ${sessions.accepted} accepted, ${sessions.becameReady} became ready, ${sessions.failedOver} had a failover`,
    `ended: ${listOf(sessions.endedByReason)}`,
    `attempts: ${listOf(sessions.byAttempts)}`,
    `answers to starts: ${listOf(report.answers)}`,
    `faults: ${listOf(report.faults)}`,
    `forged: ${listOf(report.forged)}; dead letters: ${report.deadLetters}`,
    `revisions: ${report.revisions}; calls: ${report.calls}; call records: ${report.callRecords}`,
    `tasks: ${tasks.requested} requested, ${tasks.accepted} accepted, ${tasks.dialed} calls dialed; ended: ${listOf(tasks.byState)}`,
    `from a loss to the next ready: ${distributionText(report.lossToReady)}`,
    `silences over half a second: ${distributionText(report.silence)}`,
    ...report.problems.map((problem) => `problem: ${problem}`),
    violations.length === 0 ? "No violation." : `${violations.length} violations:`,
  ];
  for (const { invariant, what, sessionId, history } of violations) {
    lines.push(`- invariant ${invariant}${sessionId === undefined ? "" : `, session ${sessionId}`}: ${what}`);
    for (const line of history ?? []) {
      const { atMs, revision, state, attempt, host, reason } = line;
      const at = `${(atMs / 1000).toFixed(2)} s`.padStart(10);
      lines.push(`  ${at}  #${revision}  ${state} ${attempt}  ${host ?? "–"}  ${reason ?? ""}`);
    }
  }
  return lines.join("\n");
}

type Life = readonly Written[];

/** The revisions of each session by its id, without removals. */
function livesIn(written: readonly Written[]): Map<string, Written[]> {
  const lives = new Map<string, Written[]>();
  for (const revision of written) {
    if (revision.record === undefined) continue;
    const { sessionId: id } = revision.record;
    lives.set(id, [...(lives.get(id) ?? []), revision]);
  }
  return lives;
}

const hadFailover = (life: Life): boolean => {
  const ready = life.flatMap(({ record }) => (record?.state === "ready" ? [record.attempt] : []));
  return new Set(ready).size > 1;
};

/** Returns how long a session waited for the next agent after each loss, on the server's clock. */
function waitsIn(life: Life): number[] {
  const waits: number[] = [];
  let before: SessionRecord | undefined;
  let lostAtMs: number | undefined;
  for (const written of life) {
    const { record } = written;
    const atMs = written.storedAtMs ?? written.seenAtMs;
    // With a free host, one revision contains both the loss and the next host.
    if (before?.state === "ready" && record!.attempt > before.attempt) lostAtMs = atMs;
    if (record?.state === "ready" && lostAtMs !== undefined) {
      waits.push(atMs - lostAtMs);
      lostAtMs = undefined;
    }
    before = record;
  }
  return waits;
}

function lineOf({ storedAtMs, seenAtMs, revision, record }: Written): HistoryLine {
  const last = record!.history.at(-1);
  const { state, attempt, host } = record!;
  return { atMs: storedAtMs ?? seenAtMs, revision, state, attempt, host, reason: last?.reason };
}

const distributionOf = (values: readonly number[]): Distribution => {
  if (values.length === 0) return { count: 0, p50: 0, p95: 0, max: 0 };
  const at = (part: number) => Math.round(quantile([...values], part));
  return { count: values.length, p50: at(0.5), p95: at(0.95), max: Math.round(Math.max(...values)) };
};

const distributionText = ({ count, p50, p95, max }: Distribution): string =>
  count === 0 ? "none" : `${count}, p50 ${p50} ms, p95 ${p95} ms, longest ${max} ms`;

function counts(values: readonly string[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const value of values) found[value] = (found[value] ?? 0) + 1;
  return found;
}

const listOf = (found: Readonly<Record<string, number>>): string =>
  Object.entries(found)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ") || "none";
