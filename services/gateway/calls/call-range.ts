// The range of a query about calls, as days and as times.
import { GreenroomError } from "../../../libs/contracts/errors.ts";

export interface CallRange {
  /** The first and the last day in UTC, in the form 20260131. */
  readonly firstDay: string;
  readonly lastDay: string;
  /** @param endedAt an ISO time in UTC with milliseconds */
  includes(endedAt: string): boolean;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const DAYS_MAX = 400;

const isDay = (when: string): boolean => when.length === 10;
const iso = (ms: number): string => new Date(ms).toISOString();
const compact = (ms: number): string => iso(ms).slice(0, 10).replaceAll("-", "");

/**
 * @param defaultDays the number of days without `from`
 * @throws GreenroomError invalid_request if the range ends before it begins, or is longer than calls are kept
 */
export function callRange(
  { from, to }: { readonly from?: string | undefined; readonly to?: string | undefined },
  nowMs: number,
  defaultDays: number,
): CallRange {
  const today = iso(nowMs).slice(0, 10);
  const toMs = endOf(to ?? today);
  const lastDayMs = toMs - 1;
  const fromMs = from === undefined ? startOfDay(lastDayMs) - (defaultDays - 1) * DAY_MS : Date.parse(from);
  if (fromMs >= toMs) {
    throw new GreenroomError(
      "invalid_request",
      `query.from: ${from} is not before query.to, ${to ?? today}.`,
    );
  }
  if (toMs - fromMs > DAYS_MAX * DAY_MS) {
    throw new GreenroomError("invalid_request", `query.from: the range is longer than ${DAYS_MAX} days.`);
  }
  const [first, end] = [iso(fromMs), iso(toMs)];
  return {
    firstDay: compact(fromMs),
    lastDay: compact(lastDayMs),
    includes: (endedAt) => endedAt >= first && endedAt < end,
  };
}

/** The end of the range: the end of a day, or the given time. */
const endOf = (when: string): number => Date.parse(when) + (isDay(when) ? DAY_MS : 0);
const startOfDay = (ms: number): number => Math.floor(ms / DAY_MS) * DAY_MS;

/** All days of a range, oldest first. */
export function daysOf({ firstDay, lastDay }: Pick<CallRange, "firstDay" | "lastDay">): string[] {
  const days: string[] = [];
  for (let ms = startOf(firstDay); compact(ms) <= lastDay; ms += DAY_MS) days.push(compact(ms));
  return days;
}

const startOf = (day: string): number => Date.parse(withDashes(day));

/** 20260131 becomes 2026-01-31. */
export const withDashes = (day: string): string => `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`;
