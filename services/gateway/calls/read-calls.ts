// Reads call records of a range: a page with the newest first, or all records with the oldest first.
import type { Bus, Stored } from "../../../libs/bus/bus.ts";
import type { CallRecord } from "../../../libs/contracts/calls/call.ts";
import { calls } from "../../../libs/contracts/streams.ts";
import { foreignCursor } from "../http/pages.ts";
import { type CallRange, daysOf } from "./call-range.ts";

interface CallFilter {
  readonly profile?: string | undefined;
  readonly outcome?: CallRecord["outcome"] | undefined;
  readonly version?: string | undefined;
}

export interface CallsOf {
  readonly bus: Bus;
  readonly tenant: string;
  readonly range: CallRange;
  readonly filter: CallFilter;
}

/** Maximum number of positions in the stream that one page reads. The next page continues there. */
const LOOK_AT_MAX = 20_000;
const WINDOW_MAX = 2000;
/** A day without calls costs a request too. */
const COST_OF_A_DAY = 50;
const EXPORT_PAGE = 250;

/** The position where a page continues: a day, and a sequence number of the stream. */
interface Position {
  readonly day: string;
  readonly before: number;
}

/**
 * Reads one page, newest first, in the order in which the calls were recorded. A call that is recorded again moves up.
 *
 * JetStream reads a stream forwards only. A page is therefore read in windows, each before the last one and up to twice
 * as wide. The calls of a day are close together, so few windows are needed.
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
    let high = after?.day === day ? after.before - 1 : await bus.streams.lastSequence(calls, subject);
    looked += COST_OF_A_DAY;
    let first: number | undefined;
    // A window holds one call more than the page, which shows whether there is a next page.
    for (let width = limit + 1; high > 0 && high >= (first ?? 0); width = Math.min(2 * width, WINDOW_MAX)) {
      const low = Math.max(0, high - width);
      const inWindow = await bus.streams.read(calls, { subject, from: low + 1, limit: width });
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
      first ??=
        (await bus.streams.read(calls, { subject, limit: 1 })).at(0)?.sequence ?? Number.POSITIVE_INFINITY;
    }
  }
  return { calls: found, nextCursor: null };
}

/** All calls of a range, oldest day first, in chunks that are read only as fast as the consumer takes them. */
export async function* allCalls({ bus, tenant, range, filter }: CallsOf): AsyncGenerator<CallRecord[]> {
  for (const day of daysOf(range)) {
    const subject = `call.${tenant}.${day}.*`;
    for (let after = 0; ; ) {
      const page: Stored<CallRecord>[] = await bus.streams.read(calls, {
        subject,
        from: after + 1,
        limit: EXPORT_PAGE,
      });
      const found = page.map(({ message }) => message).filter((call) => fits(call, range, filter));
      if (found.length > 0) yield found;
      if (page.length < EXPORT_PAGE) break;
      after = page.at(-1)?.sequence ?? after;
    }
  }
}

const fits = (call: CallRecord, range: CallRange, { profile, outcome, version }: CallFilter): boolean =>
  (profile === undefined || call.profile === profile) &&
  (outcome === undefined || call.outcome === outcome) &&
  (version === undefined || call.version === version) &&
  range.includes(call.endedAt);

const writeCursor = ({ day, before }: Position): string => `${day}.${before}`;

function readCursor(cursor: string): Position {
  const [, day, before] = /^(\d{8})\.([1-9]\d{0,15})$/.exec(cursor) ?? [];
  if (day !== undefined && before !== undefined) return { day, before: Number(before) };
  throw foreignCursor();
}
