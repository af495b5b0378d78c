// Builds the call record of an ended session from its record, usage reports and launches. Pure.
import type {
  AgentUsage,
  CallAttempt,
  CallMetrics,
  CallOutcome,
  CallRecord,
  PhoneCall,
  UsageReport,
} from "../../contracts/calls/call.ts";
import type { LaunchRecord } from "../../contracts/providers/provider.ts";
import type { HistoryEntry, SessionRecord } from "../../contracts/sessions/session.ts";
import { latencyOf } from "./histogram.ts";
import { mergeUsage } from "./usage.ts";

/** The record of an ended session. */
export type EndedSession = SessionRecord & { state: "ended" };

export const hasEnded = (record: SessionRecord): record is EndedSession => record.state === "ended";

/** The time of a record without a valid time, written by hand or from a forged event. */
const NO_TIME = "1970-01-01T00:00:00.000Z";
const MAX_REASON_LENGTH = 240;

/**
 * Builds a call record. Data of missing reports is left out, and the call record is rebuilt once they arrive.
 * @param reports usage reports of the session's attempts, in any order
 * @param launches the session's requests to providers
 */
export function buildCall(
  record: EndedSession,
  reports: readonly UsageReport[],
  launches: readonly LaunchRecord[] = [],
): CallRecord {
  const { history } = record;
  const ordered = [...reports].sort((a, b) => a.attempt - b.attempt);
  const phoneCall = phoneCallOf(record, launches);
  const ready = history.find(({ state }) => state === "ready");
  const answered = ready !== undefined && wasAnswered(record.provider, phoneCall);
  const attempts = attemptsOf(record, ordered);
  const first = attempts.find(({ attempt }) => attempt === ready?.attempt);
  const version = attempts.findLast((attempt) => attempt.version !== undefined)?.version;
  const takeovers = takeoversIn(history);
  const startMs = startMsOf(record, first);
  const reason = history.at(-1)?.reason;
  const answeredAt = ready === undefined ? undefined : isoOf(ready.at);
  const endedAt = endedAtOf(record);
  return {
    v: 1,
    tenant: record.tenant,
    sessionId: record.sessionId,
    profile: record.profile,
    provider: record.provider ?? "pool",
    user: record.user,
    room: record.room,
    ...(phoneCall === undefined ? {} : { phoneCall }),
    startedAt: history.map(({ at }) => isoOf(at)).find((at) => at !== undefined) ?? NO_TIME,
    ...(answered && answeredAt !== undefined ? { answeredAt } : {}),
    endedAt,
    outcome: outcomeOf(record, answered, phoneCall),
    endedReason: record.endedReason ?? "completed",
    fault: record.fault ?? "none",
    ...(reason === undefined ? {} : { reason }),
    answered,
    ...(startMs === undefined ? {} : { startMs }),
    ...(version === undefined ? {} : { version }),
    ...(first?.warm === undefined ? {} : { warm: first.warm }),
    failovers: takeovers.length,
    ...(takeovers.at(-1)?.reason === undefined ? {} : { failoverReason: takeovers.at(-1)?.reason }),
    failures: record.failures,
    stateMs: stateMsOf(history),
    attemptCount: record.attempt,
    attempts,
    metrics: metricsOf(mergeUsage(ordered.map(({ usage }) => usage)), talkMsOf(ordered, answeredAt, endedAt)),
  };
}

/** The attempts that became ready, whose usage reports a call record waits for. */
export const readyAttempts = ({ history }: SessionRecord): number[] => [
  ...new Set(history.filter(({ state }) => state === "ready").map(({ attempt }) => attempt)),
];

/** The time of the end. The subject of the call record contains its day, so it must never change. */
export function endedAtOf({ history }: SessionRecord): string {
  return history.map(({ at }) => isoOf(at)).findLast((at) => at !== undefined) ?? NO_TIME;
}

/** A time in canonical form; undefined when it is invalid. */
function isoOf(at: string): string | undefined {
  const ms = Date.parse(at);
  if (Number.isNaN(ms)) return undefined;
  const iso = new Date(ms).toISOString();
  return /^\d{4}-/.test(iso) ? iso : undefined;
}

const msBetween = (from: string | undefined, to: string | undefined): number | undefined => {
  const ms = Date.parse(to ?? "") - Date.parse(from ?? "");
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
};

/** At least the time that the host measured, since the request's time comes from another clock. */
function startMsOf({ history }: SessionRecord, first: CallAttempt | undefined): number | undefined {
  const ready = history.find(({ state }) => state === "ready");
  const ms = ready === undefined ? undefined : msBetween(history[0]?.at, ready.at);
  return ms === undefined ? undefined : Math.max(ms, Math.round(first?.readyMs ?? 0));
}

/** The entries at which a failover or a migration began. */
const takeoversIn = (history: readonly HistoryEntry[]): HistoryEntry[] =>
  history.filter((entry, i) => entry.state === "requested" && history[i - 1]?.state === "ready");

function stateMsOf(history: readonly HistoryEntry[]): CallRecord["stateMs"] {
  const sums = { requested: 0, dispatched: 0, joined: 0, ready: 0 };
  for (const [i, { state, at }] of history.entries()) {
    if (state !== "ended") sums[state] += msBetween(at, history[i + 1]?.at) ?? 0;
  }
  return sums;
}

function attemptsOf(record: SessionRecord, reports: readonly UsageReport[]): CallAttempt[] {
  const { history } = record;
  const numbers = [...new Set(history.map(({ attempt }) => attempt))].sort((a, b) => a - b);
  return numbers.flatMap((attempt) => {
    const own = history.filter((entry) => entry.attempt === attempt);
    const host = own.find((entry) => entry.host !== undefined)?.host;
    // An attempt that only waited for an agent does not count.
    if (host === undefined) return [];
    const report = reports.find((one) => one.attempt === attempt);
    const next = history[history.lastIndexOf(own.at(-1) as HistoryEntry) + 1];
    const was = (state: string) => own.find((entry) => entry.state === state);
    const isLast = attempt === record.attempt;
    const ended = isLast ? own.at(-1)?.reason : next?.reason;
    const { joinMs, readyMs } = record.timings;
    return [
      defined({
        attempt,
        host,
        version: own.find((entry) => entry.version !== undefined)?.version,
        warm: report?.warm ?? (isLast && was("ready") ? record.warm : undefined),
        joinMs: report?.joinMs ?? (isLast && was("joined") ? joinMs : undefined),
        readyMs: report?.readyMs ?? (isLast && was("ready") ? readyMs : undefined),
        servedMs:
          report?.servedMs ??
          (was("ready") ? msBetween(was("ready")?.at, isLast ? own.at(-1)?.at : next?.at) : undefined),
        ended: (ended ?? report?.reason)?.slice(0, MAX_REASON_LENGTH),
      }),
    ];
  });
}

/** The phone call with its newest progress. */
function phoneCallOf(record: SessionRecord, launches: readonly LaunchRecord[]): PhoneCall | undefined {
  if (record.call === undefined) return undefined;
  const progress = launches
    .filter(({ call }) => call !== undefined)
    .sort((a, b) => a.attempt - b.attempt)
    .at(-1)?.call;
  return {
    ...record.call,
    ...defined({
      status: progress?.status,
      unanswered: progress?.unanswered,
      sipCode: progress?.sipCode,
      answeredBy: progress?.answeredBy,
      reason: progress?.providerReason,
    }),
  };
}

const UNANSWERED = ["dialing", "ringing", "busy", "noAnswer", "voicemail", "failed", "unknown"];

/** A provider that dials reports the progress of each call, so a call without a report was never dialed. */
const DIALING: readonly (string | undefined)[] = ["sip", "vapi"];

function wasAnswered(provider: string | undefined, phoneCall: PhoneCall | undefined): boolean {
  if (phoneCall === undefined) return true;
  if (phoneCall.status === undefined) return !DIALING.includes(provider);
  return !UNANSWERED.includes(phoneCall.status) && !phoneCall.unanswered;
}

function outcomeOf(
  { endedReason, fault }: SessionRecord,
  answered: boolean,
  phoneCall: PhoneCall | undefined,
): CallOutcome {
  const { status } = phoneCall ?? {};
  if (status === "busy" || status === "noAnswer" || status === "voicemail") return "unanswered";
  if (status === "failed" || (fault !== "none" && fault !== "customer")) return "failed";
  if (!answered) return phoneCall === undefined || fault === "customer" ? "abandoned" : "unanswered";
  return endedReason === "expired" ? "abandoned" : "completed";
}

/** The talk time: by the host's monotonic clock if one agent served all of the call, otherwise by the times of the events. */
function talkMsOf(reports: readonly UsageReport[], answeredAt: string | undefined, endedAt: string): number {
  const served = reports.filter(({ readyMs }) => readyMs !== undefined);
  const [only] = served;
  if (answeredAt !== undefined && served.length === 1 && only?.ended !== undefined)
    return Math.round(only.servedMs);
  return msBetween(answeredAt, answeredAt === undefined ? undefined : endedAt) ?? 0;
}

function metricsOf(agentUsage: AgentUsage | undefined, durationMs: number): CallMetrics {
  const { tools = [], usage = [] } = agentUsage ?? {};
  const sum = (of: (of: (typeof usage)[number]) => number | undefined) =>
    usage.reduce((all, one) => all + (of(one) ?? 0), 0);
  const latencies = Object.fromEntries(
    (["response", "llm", "stt", "tts", "endOfTurn"] as const).flatMap((name) => {
      const latency = latencyOf(agentUsage?.[name]);
      return latency === undefined ? [] : [[name, latency]];
    }),
  );
  return {
    durationMs,
    toolCalls: tools.reduce((all, { calls }) => all + calls, 0),
    toolErrors: tools.reduce((all, { errors }) => all + errors, 0),
    toolExecutionMs: tools.reduce((all, { totalMs }) => all + totalMs, 0),
    tools,
    userTurns: agentUsage?.userTurns ?? 0,
    agentTurns: agentUsage?.agentTurns ?? 0,
    interruptions: agentUsage?.interruptions ?? 0,
    modelErrors: agentUsage?.errors ?? 0,
    ...latencies,
    ...(agentUsage?.vad === undefined ? {} : { vad: agentUsage.vad }),
    inputTokens: sum(({ inputTokens }) => inputTokens),
    outputTokens: sum(({ outputTokens }) => outputTokens),
    characters: sum(({ characters }) => characters),
    heardMs: sum(({ kind, audioMs }) => (kind === "stt" ? audioMs : 0)),
    spokenMs: sum(({ kind, audioMs }) => (kind === "tts" ? audioMs : 0)),
    usage,
  };
}

/** The fields without undefined ones, which a stored record does not have. */
const defined = <T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
