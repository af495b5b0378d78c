// Reads call records of a range: a page with the newest first, or all of them with the oldest first.
import type { Bus, Stored } from "../../../libs/bus/bus.ts";
import type { CallRecord } from "../../../libs/contracts/calls/call.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { calls } from "../../../libs/contracts/streams.ts";
import { type CallRange, daysOf } from "./call-range.ts";

interface CallFilter {
  readonly profile?: string | undefined;
  readonly outcome?: CallRecord["outcome"] | undefined;
}

export interface CallsOf {
  readonly bus: Bus;
  readonly tenant: string;
  readonly range: CallRange;
  readonly filter: CallFilter;
}

/** A page looks at so many places in the stream at most; when few of them fit, the next page goes on there. */
const LOOK_AT_MAX = 20_000;
const WINDOW_MAX = 2000;
/** A day without calls costs a question too. */
const COST_OF_A_DAY = 50;
const EXPORT_PAGE = 250;

/** Where a page goes on: in a day, before a place in the stream. */
interface Place {
  readonly day: string;
  readonly before: number;
}

/**
 * One page, newest first, in the order in which the calls were recorded; a call that is recorded again moves up.
 *
 * The stream can only be read forwards. So a page is read in windows that lie one before the other, as wide as it
 * takes: the calls of a day lie close together.
 */
export async function pageOfCalls(
  { bus, tenant, range, filter }: CallsOf,
  { limit, cursor }: { readonly limit: number; readonly cursor?: string | undefined },
): Promise<{ readonly calls: CallRecord[]; readonly nextCursor: string | null }> {
  const after = cursor === undefined ? undefined : readCursor(cursor);
  const days = daysOf(range)
    .reverse()
    .filter((day) => after === undefined || day <= after.day);
  const found: CallRecord[] = [];
  let looked = 0;
  for (const day of days) {
    const subject = `call.${tenant}.${day}.*`;
    let high = after?.day === day ? after.before - 1 : await bus.lastSequence(calls, subject);
    looked += COST_OF_A_DAY;
    let first: number | undefined;
    // One more than the page holds tells whether there is a next one.
    for (let width = limit + 1; high > 0 && high >= (first ?? 0); width = Math.min(2 * width, WINDOW_MAX)) {
      const low = Math.max(0, high - width);
      const inWindow = await bus.scan(calls, { subject, after: low, limit: width });
      looked += width;
      for (const { sequence, message } of inWindow.toReversed()) {
        if (sequence > high || !fits(message, range, filter)) continue;
        if (found.length === limit)
          return { calls: found, nextCursor: writeCursor({ day, before: sequence + 1 }) };
        found.push(message);
      }
      high = low;
      if (looked >= LOOK_AT_MAX && high > 0)
        return { calls: found, nextCursor: writeCursor({ day, before: high + 1 }) };
      first ??= (await bus.scan(calls, { subject, limit: 1 })).at(0)?.sequence ?? Number.POSITIVE_INFINITY;
    }
  }
  return { calls: found, nextCursor: null };
}

/** All of them, oldest day first, a few at a time: whoever reads slowly holds it up. */
export async function* allCalls({ bus, tenant, range, filter }: CallsOf): AsyncGenerator<CallRecord[]> {
  for (const day of daysOf(range)) {
    const subject = `call.${tenant}.${day}.*`;
    for (let after = 0; ; ) {
      const page: Stored<CallRecord>[] = await bus.scan(calls, { subject, after, limit: EXPORT_PAGE });
      const found = page.map(({ message }) => message).filter((call) => fits(call, range, filter));
      if (found.length > 0) yield found;
      if (page.length < EXPORT_PAGE) break;
      after = page.at(-1)?.sequence ?? after;
    }
  }
}

const fits = (call: CallRecord, range: CallRange, { profile, outcome }: CallFilter): boolean =>
  (profile === undefined || call.profile === profile) &&
  (outcome === undefined || call.outcome === outcome) &&
  range.includes(call.endedAt);

const writeCursor = ({ day, before }: Place): string => `${day}.${before}`;

function readCursor(cursor: string): Place {
  const [, day, before] = /^(\d{8})\.([1-9]\d{0,15})$/.exec(cursor) ?? [];
  if (day !== undefined && before !== undefined) return { day, before: Number(before) };
  throw new GreenroomError("invalid_request", "query.cursor: take it from nextCursor of the page before.");
}
