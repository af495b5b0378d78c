// Builds the rollup of each minute from the records of sessions that ended in it. Pure.
import type { Rollup } from "../../libs/contracts/fleet/pool.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";

const ISO_MINUTE = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

/**
 * The ISO minute in which a session ended, by its record's own time; undefined before. Events of other systems may have
 * an invalid time, so the newest valid time counts.
 */
export function endedMinute(record: SessionRecord): string | undefined {
  if (record.state !== "ended") return undefined;
  const at = record.history.findLast((entry) => ISO_MINUTE.test(entry.at))?.at;
  return at === undefined ? undefined : `${at.slice(0, 16)}Z`;
}

/** One rollup for each tenant, profile and minute in which a session ended. */
export function buildRollups(records: readonly SessionRecord[]): Rollup[] {
  const groups = new Map<string, SessionRecord[]>();
  for (const record of records) {
    const minute = endedMinute(record);
    if (minute === undefined) continue;
    const key = `${record.tenant} ${record.profile} ${minute}`;
    groups.set(key, [...(groups.get(key) ?? []), record]);
  }
  return [...groups.values()].map(buildRollup);
}

function buildRollup(records: SessionRecord[]): Rollup {
  const [first] = records as [SessionRecord, ...SessionRecord[]];
  const starts = records.flatMap((record) => startMsOf(record) ?? []).sort((a, b) => a - b);
  return {
    tenant: first.tenant,
    profile: first.profile,
    minute: endedMinute(first) ?? "",
    sessions: records.length,
    byReason: countBy(records, (record) => record.endedReason ?? "unknown"),
    byWarmth: countBy(records, (record) => record.warm ?? "none"),
    attempts: records.reduce((sum, record) => sum + record.attempt, 0),
    ...(starts.length === 0
      ? {}
      : { startMs: { p50: quantile(starts, 0.5), p95: quantile(starts, 0.95), max: quantile(starts, 1) } }),
  };
}

/** The time from the first requested to the first ready, in ms. It mixes two clocks, so it is for people only. */
function startMsOf(record: SessionRecord): number | undefined {
  const requested = record.history.find((entry) => entry.state === "requested");
  const ready = record.history.find((entry) => entry.state === "ready");
  if (requested === undefined || ready === undefined) return undefined;
  const ms = Date.parse(ready.at) - Date.parse(requested.at);
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Sorted by name, so that two janitors write the same bytes. */
const countBy = (
  records: SessionRecord[],
  keyOf: (record: SessionRecord) => string,
): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const record of records) counts[keyOf(record)] = (counts[keyOf(record)] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
};

const quantile = (sorted: number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0;
