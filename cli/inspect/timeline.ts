// Entries of a timeline: each has a time, a headline, details, and the message or record behind it.
import type { RawStored } from "../../libs/bus/nats/inspect.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";

export interface TimelineEntry {
  /** ISO time: NATS's time of storing, or for log lines the host's clock. */
  readonly at: string;
  readonly stream: string;
  readonly sequence: number;
  readonly what: string;
  /** Values that are printed where they differ from earlier entries. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly details: readonly string[];
  /** The stored value without secrets, for programs. */
  readonly data?: unknown;
}

export const entryOf = (
  stored: RawStored,
  what: string,
  details: readonly string[] = [],
  data?: unknown,
  fields?: Readonly<Record<string, unknown>>,
): TimelineEntry => ({
  at: stored.at.toISOString(),
  stream: stored.stream,
  sequence: stored.sequence,
  what: redactTokens(what),
  details: details.map(redactTokens),
  ...(data === undefined ? {} : { data: redacted(data) }),
  ...(fields === undefined || Object.keys(fields).length === 0 ? {} : { fields: redacted(fields) }),
});

const redacted = <T>(value: T): T => JSON.parse(redactTokens(JSON.stringify(value))) as T;

/** The object in a stored text; undefined if it is not a JSON object. */
export function parsed(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Replaces metadata by their size, because they may be personal, unless `showAll` is set. */
export const withoutMetadata = (value: Record<string, unknown>, showAll: boolean): Record<string, unknown> =>
  showAll || !("metadata" in value) ? value : { ...value, metadata: sumOfMetadata(value.metadata) };

function sumOfMetadata(metadata: unknown): unknown {
  if (typeof metadata !== "object" || metadata === null) return metadata;
  const keys = Object.keys(metadata);
  return keys.length === 0 ? "none" : `${keys.join(", ")} (${JSON.stringify(metadata).length} bytes)`;
}

/** The overview as JSON, with the same omissions as for people. */
export const jsonOf = (overview: unknown, showMetadata: boolean): string =>
  redactTokens(
    JSON.stringify(
      overview,
      (name, value: unknown) => (name === "metadata" && !showMetadata ? sumOfMetadata(value) : value),
      2,
    ),
  );

/** Without some of the fields, and without undefined ones. */
export const pick = (value: Record<string, unknown>, without: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(value).filter(([name, field]) => !without.includes(name) && field !== undefined),
  );

/** Fields as `name value` in their order. */
export const fieldsText = (value: Readonly<Record<string, unknown>>): string =>
  Object.entries(value)
    .map(([name, field]) => `${name} ${typeof field === "string" ? field : JSON.stringify(field)}`)
    .join(", ");

/** Sorts by time. Of entries with the same time, causes come before effects. */
export function sortTimeline(timeline: readonly TimelineEntry[]): TimelineEntry[] {
  const rank = ({ stream }: TimelineEntry) => {
    const place = STREAMS_IN_ORDER.indexOf(stream);
    return place < 0 ? STREAMS_IN_ORDER.length : place;
  };
  return [...timeline].sort(
    (a, b) => a.at.localeCompare(b.at) || rank(a) - rank(b) || a.sequence - b.sequence,
  );
}

const STREAMS_IN_ORDER: readonly string[] = [
  ...["TASK_REQUESTS", "TASKS", "KV_tasks", "HANDOFFS", "SESSIONS_OVERFLOW", "SESSIONS", "KV_sessions"],
  ...["KV_launches", "KV_claims"],
];

export function durationOf(ms: number): string {
  const rounded = Math.round(ms);
  if (Math.abs(rounded) < 1000) return `${rounded} ms`;
  if (Math.abs(rounded) < 120_000) return `${(rounded / 1000).toFixed(1)} s`;
  const minutes = Math.floor(rounded / 60_000);
  return minutes < 120
    ? `${minutes} min ${Math.round((rounded % 60_000) / 1000)} s`
    : `${(minutes / 60).toFixed(1)} h`;
}
