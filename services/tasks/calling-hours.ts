// When calls may be made: opening hours in a time zone, as people write them.

interface Span {
  /** 0 is Monday. */
  readonly days: ReadonlySet<number>;
  /** Minutes since midnight; a span whose end is not after its beginning goes on into the next day. */
  readonly from: number;
  readonly to: number;
}

export interface CallingHours {
  readonly spans: readonly Span[];
  readonly timeZone: string;
  readonly text: string;
}

const DAYS = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];
const FORM = `as "Mo-Fr 09:00-20:00 Europe/Berlin", or several as "Mo-Fr 09:00-20:00, Sa 10:00-14:00 Europe/Berlin"`;

/**
 * Reads calling hours: spans separated by commas, and the time zone they are meant in. Days may be one (`Sa`), a
 * range (`Mo-Fr`), several (`Mo+We+Fr`), or left out for every day.
 * @throws Error that says what is wrong
 */
export function parseCallingHours(text: string): CallingHours {
  const [, spansText, timeZone] = /^(.*\d)\s+([A-Za-z][\w+\-/]*)$/.exec(text.trim()) ?? [];
  if (spansText === undefined || timeZone === undefined)
    throw new Error(`"${text}" can't be read; write them ${FORM}`);
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone });
  } catch {
    throw new Error(
      `"${timeZone}" is no time zone that this machine knows; write one as Europe/Berlin or UTC`,
    );
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
  if (from === undefined || to === undefined) throw new Error(`"${text}" can't be read; write it ${FORM}`);
  return { days: parseDays(daysText), from: parseMinute(from), to: parseMinute(to) };
}

function parseDays(text: string | undefined): Set<number> {
  if (text === undefined) return new Set(DAYS.keys());
  const days = new Set<number>();
  for (const part of text.split("+")) {
    const [first, last = first] = part.split("-").map(dayOf);
    if (first === undefined || last === undefined) continue;
    // "Fr-Mo" goes over the weekend.
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return days;
}

function dayOf(name: string): number {
  const day = DAYS.findIndex((known) => known.toLowerCase() === name.toLowerCase());
  if (day < 0) throw new Error(`"${name}" is no day; days are ${DAYS.join(", ")}`);
  return day;
}

function parseMinute(text: string): number {
  const [hour = 0, minute = 0] = text.split(":").map(Number);
  const sum = hour * 60 + minute;
  if (minute > 59 || sum > 24 * 60) throw new Error(`"${text}" is no time of day`);
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
