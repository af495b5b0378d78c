// From when to when a query about calls goes, as days and as times: a pure decision.
import { GreenroomError } from "../../../libs/contracts/errors.ts";

export interface CallRange {
  /** As 20260131, in UTC, the first and the last. */
  readonly firstDay: string;
  readonly lastDay: string;
  /** Whether an end lies in it, as an ISO time in UTC with milliseconds. */
  includes(endedAt: string): boolean;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const DAYS_MAX = 400;

const isDay = (when: string): boolean => when.length === 10;
const iso = (ms: number): string => new Date(ms).toISOString();
const compact = (ms: number): string => iso(ms).slice(0, 10).replaceAll("-", "");

/**
 * @param defaultDays how many there are when `from` isn't said
 * @throws GreenroomError invalid_request when it ends before it begins, or is longer than calls are kept
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
    throw new GreenroomError(
      "invalid_request",
      `query.from: ${DAYS_MAX} days at most can be asked for at once.`,
    );
  }
  const [first, end] = [iso(fromMs), iso(toMs)];
  return {
    firstDay: compact(fromMs),
    lastDay: compact(lastDayMs),
    includes: (endedAt) => endedAt >= first && endedAt < end,
  };
}

/** A day is meant with all its hours; a time is where it ends. */
const endOf = (when: string): number => Date.parse(when) + (isDay(when) ? DAY_MS : 0);
const startOfDay = (ms: number): number => Math.floor(ms / DAY_MS) * DAY_MS;

/** Every day of it, the first one first. */
export function daysOf({ firstDay, lastDay }: Pick<CallRange, "firstDay" | "lastDay">): string[] {
  const days: string[] = [];
  for (let ms = startOf(firstDay); compact(ms) <= lastDay; ms += DAY_MS) days.push(compact(ms));
  return days;
}

const startOf = (day: string): number => Date.parse(withDashes(day));

/** 20260131 as people write it. */
export const withDashes = (day: string): string => `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`;
