// What the stored revisions of a session's record tell: its states, what changed, and what that calls for.
import type { RawStored } from "../../libs/bus/nats/inspect.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord, SessionState } from "../../libs/contracts/sessions/session.ts";
import { commandsFor, type SessionCommand } from "../../libs/domain/session/commands-for.ts";
import { fieldsOf, type Happening, happening, parsed, withoutMetadata } from "./timeline.ts";

export interface ToldRecord {
  readonly happenings: readonly Happening[];
  /** As it stands; undefined when it is gone, or nobody can read it. */
  readonly record: SessionRecord | undefined;
  readonly gone: readonly string[];
  readonly steps: readonly Step[];
}

/** How long a state of an attempt lasted, by NATS's clock alone. */
export interface Step {
  readonly state: SessionState;
  readonly attempt: number;
  readonly host: string | undefined;
  /** Undefined for the last one. */
  readonly lastedMs: number | undefined;
}

/** Said by itself, or of no use to people. */
const UNSAID = ["writeId", "history", "v", "id", "tenant", "state", "attempt", "deadlineMs", "requestHash"];

export function tellRecord(stored: readonly RawStored[], showAll: boolean): ToldRecord {
  const happenings: Happening[] = [];
  const states: { record: SessionRecord; atMs: number }[] = [];
  let before: SessionRecord | undefined;
  for (const one of stored) {
    if (one.text === undefined) {
      happenings.push(happening(one, "the record is removed"));
      before = undefined;
      continue;
    }
    const record = readRecord(one.text);
    if (record === undefined) {
      happenings.push(happening(one, "a record that nobody can read", [one.text.slice(0, 240)]));
      continue;
    }
    happenings.push(tellRevision(one, record, before, showAll));
    const last = states.at(-1)?.record;
    if (last?.state !== record.state || last.attempt !== record.attempt) {
      states.push({ record, atMs: one.at.getTime() });
    }
    before = record;
  }
  return { happenings, record: before, gone: goneOf(stored), steps: stepsOf(states) };
}

function tellRevision(
  stored: RawStored,
  record: SessionRecord,
  before: SessionRecord | undefined,
  showAll: boolean,
): Happening {
  const changes = changed(before, withoutMetadata(record, showAll) as unknown as SessionRecord);
  const entries = record.history.slice(before?.history.length ?? 0);
  // Several states may be saved at once, as the request and the choice of a host.
  const states = entries.length > 1 ? entries.map(({ state }) => state).join(" → ") : record.state;
  const reasons = entries.flatMap(({ reason }) => (reason === undefined ? [] : [reason]));
  const reasonText = reasons.length === 0 ? "" : ` – ${reasons.join("; ")}`;
  const endText =
    record.endedReason === undefined ? "" : ` as ${record.endedReason} (fault: ${record.fault})`;
  return happening(
    stored,
    `saved: ${states}, attempt ${record.attempt}${endText}${reasonText}`,
    [
      ...(changes === "" ? [] : [changes]),
      ...commandsFor(record).map((command) => `calls for ${shown(command)}`),
    ],
    withoutMetadata(record as unknown as Record<string, unknown>, showAll),
  );
}

const shown = ({ do: what, ...rest }: SessionCommand): string =>
  `${what.replace("_", " ")}: ${fieldsOf(rest, [])}`;

/** The fields that are not as they were. */
function changed(before: SessionRecord | undefined, record: SessionRecord): string {
  const old = (before ?? {}) as Record<string, unknown>;
  const now = record as unknown as Record<string, unknown>;
  const differ = Object.fromEntries(
    [...new Set([...Object.keys(old), ...Object.keys(now)])]
      .filter((name) => name !== "metadata" || before === undefined)
      .filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]))
      .map((name) => [name, name in now ? now[name] : "gone"]),
  );
  return fieldsOf(differ, UNSAID);
}

function readRecord(text: string): SessionRecord | undefined {
  const read = sessions.schema.safeParse(parsed(text));
  return read.success ? read.data : undefined;
}

function goneOf(stored: readonly RawStored[]): string[] {
  if (stored.length === 0) {
    return ["Its record is gone: ended sessions are removed after a while (GREENROOM_SESSION_RETENTION_MS)."];
  }
  if (stored.length < sessions.history) return [];
  return [
    `Its record may have had more revisions: the bucket keeps the newest ${sessions.history}. The record's own history has all states.`,
  ];
}

function stepsOf(states: readonly { record: SessionRecord; atMs: number }[]): Step[] {
  return states.map(({ record, atMs }, index) => {
    const next = states[index + 1];
    return {
      state: record.state,
      attempt: record.attempt,
      host: record.host,
      lastedMs: next === undefined ? undefined : next.atMs - atMs,
    };
  });
}
