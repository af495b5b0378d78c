// What a chaos run tells: on the terminal to read, and as JSON.
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { quantile } from "../../bench/statistics.ts";
import type { Evidence, Violation, Written } from "./evidence.ts";

export interface Report {
  readonly seed: number;
  readonly minutes: number;
  readonly violations: readonly (Violation & { readonly history?: readonly HistoryLine[] })[];
  readonly sessions: {
    readonly asked: number;
    readonly accepted: number;
    readonly becameReady: number;
    readonly handedOver: number;
    readonly endedByReason: Readonly<Record<string, number>>;
    readonly byAttempts: Readonly<Record<string, number>>;
  };
  readonly answers: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly forged: Readonly<Record<string, number>>;
  readonly revisions: number;
  readonly calls: number;
  readonly tasks: {
    readonly asked: number;
    readonly accepted: number;
    readonly byState: Readonly<Record<string, number>>;
    readonly dialed: number;
  };
  /** Of ended sessions. */
  readonly callRecords: number;
  /** In ms, from the revision that says that an agent is lost to the one that says that the next is ready. */
  readonly lossToReady: Spread;
  /** In ms: silences of over half a second that people heard. */
  readonly silence: Spread;
  readonly deadLetters: number;
  /** What the run itself could not do. */
  readonly troubles: readonly string[];
}

interface Spread {
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
  troubles: readonly string[],
): Report {
  const lives = livesIn(evidence.written);
  // Those of tasks are counted by their tasks.
  const ofTasks = new Set(
    evidence.remains.tasks.flatMap(({ attempts }) => attempts.map(({ sessionId }) => sessionId)),
  );
  const started = [...lives].flatMap(([id, life]) => (ofTasks.has(id) ? [] : [life]));
  const newest = started.map((life) => life.at(-1)!.record!);
  const accepted = new Set(evidence.asked.flatMap(({ sessionId }) => sessionId ?? []));
  return {
    seed: evidence.seed,
    minutes,
    violations: violations.map((violation) => {
      const life = violation.sessionId === undefined ? undefined : lives.get(violation.sessionId);
      return life === undefined ? violation : { ...violation, history: life.map(lineOf) };
    }),
    sessions: {
      asked: new Set(evidence.asked.map(({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`)).size,
      accepted: accepted.size,
      becameReady: started.filter((life) => life.some(({ record }) => record?.state === "ready")).length,
      handedOver: started.filter(wasHandedOver).length,
      endedByReason: counts(newest.map(({ state, endedReason }) => endedReason ?? state)),
      byAttempts: counts(newest.map(({ attempt }) => String(attempt))),
    },
    answers: counts(
      evidence.asked.map(({ status, errorCode }) => [status, errorCode ?? ""].join(" ").trim()),
    ),
    faults: counts(evidence.faults.map(({ kind }) => kind)),
    forged: counts(evidence.said.flatMap(({ forgery }) => forgery ?? [])),
    revisions: evidence.written.length,
    calls: evidence.heard.length,
    tasks: {
      asked: new Set(evidence.askedTasks.map(({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`))
        .size,
      accepted: new Set(evidence.askedTasks.flatMap(({ taskId }) => taskId ?? [])).size,
      byState: counts(evidence.remains.tasks.map(({ state }) => state)),
      dialed: evidence.remains.dialed.length,
    },
    callRecords: evidence.remains.calls.length,
    lossToReady: spread([...lives.values()].flatMap(waitsIn)),
    silence: spread(evidence.heard.flatMap(({ gaps }) => gaps.map(({ fromMs, toMs }) => toMs - fromMs))),
    deadLetters: evidence.remains.deadLetters.length,
    troubles,
  };
}

export function textOf(report: Report): string {
  const { sessions, tasks, violations } = report;
  const lines = [
    `Chaos run of ${report.minutes} min, seed ${report.seed}`,
    `sessions: ${sessions.asked} asked for, ${sessions.accepted} accepted, ${sessions.becameReady} became ready, ${sessions.handedOver} were handed over`,
    `ended: ${listOf(sessions.endedByReason)}`,
    `attempts: ${listOf(sessions.byAttempts)}`,
    `answers to starts: ${listOf(report.answers)}`,
    `faults: ${listOf(report.faults)}`,
    `forged: ${listOf(report.forged)}; dead letters: ${report.deadLetters}`,
    `revisions: ${report.revisions}; calls: ${report.calls}; call records: ${report.callRecords}`,
    `tasks: ${tasks.asked} asked for, ${tasks.accepted} accepted, ${tasks.dialed} calls dialed; ended: ${listOf(tasks.byState)}`,
    `from a loss to the next ready: ${spreadText(report.lossToReady)}`,
    `silences over half a second: ${spreadText(report.silence)}`,
    ...report.troubles.map((trouble) => `trouble: ${trouble}`),
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

const wasHandedOver = (life: Life): boolean => {
  const ready = life.flatMap(({ record }) => (record?.state === "ready" ? [record.attempt] : []));
  return new Set(ready).size > 1;
};

/** How long a session whose agent was ready waited for the next one, by the server's clock. */
function waitsIn(life: Life): number[] {
  const waits: number[] = [];
  let before: SessionRecord | undefined;
  let lostAtMs: number | undefined;
  for (const written of life) {
    const { record } = written;
    const atMs = written.storedAtMs ?? written.seenAtMs;
    // Where a host is free, one revision says both that the agent is lost and who is next.
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

const spread = (values: readonly number[]): Spread => {
  if (values.length === 0) return { count: 0, p50: 0, p95: 0, max: 0 };
  const at = (part: number) => Math.round(quantile([...values], part));
  return { count: values.length, p50: at(0.5), p95: at(0.95), max: Math.round(Math.max(...values)) };
};

const spreadText = ({ count, p50, p95, max }: Spread): string =>
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
