// Calling hours: parses them, for example "Mo-Fr 09:00-20:00 Europe/Berlin", and checks a time against them.

interface Span {
  /** 0 is Monday. */
  readonly days: ReadonlySet<number>;
  /** Minutes since midnight. A span whose end is not after its beginning ends on the next day. */
  readonly from: number;
  readonly to: number;
}

export interface CallingHours {
  readonly spans: readonly Span[];
  readonly timeZone: string;
  readonly text: string;
}

const DAYS = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
const EXAMPLES = `for example "Mo-Fr 09:00-20:00 Europe/Berlin" or "Mo-Fr 09:00-20:00, Sa 10:00-14:00 Europe/Berlin"`;

/**
 * Parses calling hours: spans separated by commas, and a time zone. The days of a span are one (`Sa`), a range
 * (`Mo-Fr`), a list (`Mo+We+Fr`), or absent for every day.
 * @throws Error that names the invalid part
 */
export function parseCallingHours(text: string): CallingHours {
  const [, spansText, timeZone] = /^(.*\d)\s+([A-Za-z][\w+\-/]*)$/.exec(text.trim()) ?? [];
  if (spansText === undefined || timeZone === undefined)
    throw new Error(`"${text}" is not valid; write ${EXAMPLES}`);
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone });
  } catch {
    throw new Error(`"${timeZone}" is not a known time zone; write, for example, Europe/Berlin or UTC`);
  }
  return { spans: spansText.split(",").map((span) => parseSpan(span.trim())), timeZone, text: text.trim() };
}

/** Whether calls may be made at a time, in ms since 1970. */
export function isOpen(hours: CallingHours, atMs: number): boolean {
  const { day, minute } = localTime(hours.timeZone, atMs);
  const dayBefore = (day + 6) % 7;
  return hours.spans.some(({ days, from, to }) => {
    if (from < to) return days.has(day) && minute >= from && minute < to;
    return (days.has(day) && minute >= from) || (days.has(dayBefore) && minute < to);
  });
}

function parseSpan(text: string): Span {
  const [, daysText, from, to] = /^(?:([A-Za-z+-]+)\s+)?(\d{1,2}:\d{2})-(\d{1,2}:\d{2})$/.exec(text) ?? [];
  if (from === undefined || to === undefined) throw new Error(`"${text}" is not valid; write ${EXAMPLES}`);
  return { days: parseDays(daysText), from: parseMinute(from), to: parseMinute(to) };
}

function parseDays(text: string | undefined): Set<number> {
  if (text === undefined) return new Set(DAYS.keys());
  const days = new Set<number>();
  for (const part of text.split("+")) {
    const [first, last = first] = part.split("-").map(dayOf);
    if (first === undefined || last === undefined) continue;
    // A range may wrap around the weekend, like "Fr-Mo".
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return days;
}

function dayOf(name: string): number {
  const day = DAYS.findIndex((known) => known.toLowerCase() === name.toLowerCase());
  if (day < 0) throw new Error(`"${name}" is not a day; the days are ${DAYS.join(", ")}`);
  return day;
}

function parseMinute(text: string): number {
  const [hour = 0, minute = 0] = text.split(":").map(Number);
  const sum = hour * 60 + minute;
  if (minute > 59 || sum > 24 * 60) throw new Error(`"${text}" is not a time of day`);
  return sum;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function localTime(timeZone: string, atMs: number): { day: number; minute: number } {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    formats.set(timeZone, format);
  }
  const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
  const day = DAYS.findIndex((name) => parts.get("weekday")?.startsWith(name));
  return { day, minute: Number(parts.get("hour")) * 60 + Number(parts.get("minute")) };
}
