// Describes the revisions of a session's record: states, changed fields, and commands.
import type { RawStored } from "../../libs/bus/nats/inspect.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord, SessionState } from "../../libs/contracts/sessions/session.ts";
import { commandsFor, type SessionCommand } from "../../libs/domain/session/commands-for.ts";
import { entryOf, fieldsText, parsed, pick, type TimelineEntry, withoutMetadata } from "./timeline.ts";

export interface RecordDescription {
  readonly timeline: readonly TimelineEntry[];
  /** The newest revision. Undefined if it is deleted or unreadable. */
  readonly record: SessionRecord | undefined;
  readonly gone: readonly string[];
  readonly steps: readonly StateDuration[];
}

/** Time in a state of an attempt, by NATS's clock only. */
export interface StateDuration {
  readonly state: SessionState;
  readonly attempt: number;
  readonly host: string | undefined;
  /** When the state was stored. */
  readonly atMs: number;
  /** Undefined for the last state. */
  readonly lastedMs: number | undefined;
}

/** Fields that the headline shows already, or that are of no use to people. */
const OMITTED = [
  "writeId",
  "history",
  "v",
  "sessionId",
  "tenant",
  "state",
  "attempt",
  "deadlineMs",
  "requestHash",
];

export function describeRecord(stored: readonly RawStored[], showAll: boolean): RecordDescription {
  const timeline: TimelineEntry[] = [];
  const states: { record: SessionRecord; atMs: number }[] = [];
  let before: SessionRecord | undefined;
  for (const revision of stored) {
    if (revision.text === undefined) {
      timeline.push(entryOf(revision, "record deleted"));
      before = undefined;
      continue;
    }
    const record = readRecord(revision.text);
    if (record === undefined) {
      timeline.push(entryOf(revision, "unreadable record", [revision.text.slice(0, 240)]));
      continue;
    }
    timeline.push(describeRevision(revision, record, before, showAll));
    const last = states.at(-1)?.record;
    if (last?.state !== record.state || last.attempt !== record.attempt) {
      states.push({ record, atMs: revision.at.getTime() });
    }
    before = record;
  }
  return { timeline, record: before, gone: goneOf(stored), steps: stepsOf(states) };
}

function describeRevision(
  stored: RawStored,
  record: SessionRecord,
  before: SessionRecord | undefined,
  showAll: boolean,
): TimelineEntry {
  const changes = changedFields(before, withoutMetadata(record, showAll) as unknown as SessionRecord);
  const entries = record.history.slice(before?.history.length ?? 0);
  // One write may contain several states, for example the request and the choice of a host.
  const states = entries.length > 1 ? entries.map(({ state }) => state).join(" → ") : record.state;
  const reasons = entries.flatMap(({ reason }) => (reason === undefined ? [] : [reason]));
  const reasonText = reasons.length === 0 ? "" : ` – ${reasons.join("; ")}`;
  const endText =
    record.endedReason === undefined ? "" : ` as ${record.endedReason} (fault: ${record.fault})`;
  return entryOf(
    stored,
    `saved: ${states}, attempt ${record.attempt}${endText}${reasonText}`,
    commandsFor(record).map((command) => `command ${commandText(command)}`),
    withoutMetadata(record as unknown as Record<string, unknown>, showAll),
    changes,
  );
}

const commandText = ({ do: what, ...rest }: SessionCommand): string =>
  `${what.replace("_", " ")}: ${fieldsText(pick(rest, []))}`;

/** The fields that differ from the previous revision. */
function changedFields(before: SessionRecord | undefined, record: SessionRecord): Record<string, unknown> {
  const old = (before ?? {}) as Record<string, unknown>;
  const now = record as unknown as Record<string, unknown>;
  const differ = Object.fromEntries(
    [...new Set([...Object.keys(old), ...Object.keys(now)])]
      .filter((name) => name !== "metadata" || before === undefined)
      .filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]))
      .map((name) => [name, name in now ? now[name] : "gone"]),
  );
  return pick(differ, OMITTED);
}

function readRecord(text: string): SessionRecord | undefined {
  const read = sessions.schema.safeParse(parsed(text));
  return read.success ? read.data : undefined;
}

function goneOf(stored: readonly RawStored[]): string[] {
  if (stored.length === 0) {
    return ["The record is deleted. Ended sessions are kept for GREENROOM_SESSION_RETENTION_MS."];
  }
  if (stored.length < sessions.history) return [];
  return [
    `Earlier revisions may be deleted, since the bucket keeps the newest ${sessions.history}. The record's history has all states.`,
  ];
}

function stepsOf(states: readonly { record: SessionRecord; atMs: number }[]): StateDuration[] {
  return states.map(({ record, atMs }, index) => {
    const next = states[index + 1];
    return {
      state: record.state,
      attempt: record.attempt,
      host: record.host,
      atMs,
      lastedMs: next === undefined ? undefined : next.atMs - atMs,
    };
  });
}
