// One thing that happened, as it is told: when, what, and the message or record behind it.
import type { RawStored } from "../../libs/bus/nats/inspect.ts";
import { redactTokens } from "../../libs/runtime/redact-tokens.ts";

export interface Happening {
  /** ISO time; NATS's where it was stored, or the clock of the host that logged a line. */
  readonly at: string;
  readonly stream: string;
  readonly sequence: number;
  readonly what: string;
  readonly details: readonly string[];
  /** What was stored, without secrets, for programs. */
  readonly data?: unknown;
}

export const happening = (
  stored: RawStored,
  what: string,
  details: readonly string[] = [],
  data?: unknown,
): Happening => ({
  at: stored.at.toISOString(),
  stream: stored.stream,
  sequence: stored.sequence,
  what: redactTokens(what),
  details: details.map(redactTokens),
  ...(data === undefined ? {} : { data: JSON.parse(redactTokens(JSON.stringify(data))) }),
});

/** What a stored text says, if it is JSON. */
export function parsed(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** What people put into their metadata is theirs: how much there is says enough, unless all is asked for. */
export const withoutMetadata = (value: Record<string, unknown>, showAll: boolean): Record<string, unknown> =>
  showAll || !("metadata" in value) ? value : { ...value, metadata: sumOfMetadata(value.metadata) };

function sumOfMetadata(metadata: unknown): unknown {
  if (typeof metadata !== "object" || metadata === null) return metadata;
  const keys = Object.keys(metadata);
  return keys.length === 0 ? "none" : `${keys.join(", ")} (${JSON.stringify(metadata).length} bytes)`;
}

/** A story for programs, with the same left out as for people. */
export const jsonOf = (story: unknown, showMetadata: boolean): string =>
  redactTokens(
    JSON.stringify(
      story,
      (name, value: unknown) => (name === "metadata" && !showMetadata ? sumOfMetadata(value) : value),
      2,
    ),
  );

/** Fields as `name value`, in their order, leaving some out. */
export const fieldsOf = (value: Record<string, unknown>, without: readonly string[]): string =>
  Object.entries(value)
    .filter(([name, field]) => !without.includes(name) && field !== undefined)
    .map(([name, field]) => `${name} ${typeof field === "string" ? field : JSON.stringify(field)}`)
    .join(", ");

/** Older first; what was stored at the same moment, causes before effects. */
export function inOrder(happenings: readonly Happening[]): Happening[] {
  const rank = ({ stream }: Happening) => {
    const place = STREAMS_IN_ORDER.indexOf(stream);
    return place < 0 ? STREAMS_IN_ORDER.length : place;
  };
  return [...happenings].sort(
    (a, b) => a.at.localeCompare(b.at) || rank(a) - rank(b) || a.sequence - b.sequence,
  );
}

const STREAMS_IN_ORDER: readonly string[] = [
  ...["TASK_REQUESTS", "TASKS", "KV_tasks", "HANDOFFS", "SESSIONS_OVERFLOW", "SESSIONS", "KV_sessions"],
  ...["KV_launches", "KV_claims"],
];
