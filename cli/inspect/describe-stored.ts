// Describes everything about a session or task besides its record: messages, launches, log lines, calls, dead letters.
import type { RawStored } from "../../libs/bus/nats/inspect.ts";
import type { DeadLetter, LogBatch } from "../../libs/contracts/fleet/pool.ts";
import { entryOf, parsed, pick, type TimelineEntry, withoutMetadata } from "./timeline.ts";

export interface DescribeOptions {
  /** Shows metadata instead of a summary. */
  readonly metadata: boolean;
  /** Shows the conversation instead of a summary. */
  readonly conversation: boolean;
}

/** The timeline entries of a stored message, by its stream. */
export function describeStored(stored: RawStored, options: DescribeOptions): TimelineEntry[] {
  if (stored.stream === "DEAD_LETTERS") return [describeDeadLetter(stored)];
  if (stored.stream === "SESSION_LOGS") return describeLogs(stored);
  if (stored.stream === "KV_conversations") return [describeConversation(stored, options.conversation)];
  if (stored.stream === "KV_session_metadata") return [describeLargeText(stored)];
  const value = parsed(stored.text);
  if (stored.text === undefined) return [entryOf(stored, `${nameOf(stored.stream)} removed`)];
  if (value === undefined)
    return [entryOf(stored, "a message that is not JSON", [stored.text.slice(0, 240)])];
  const data = withoutMetadata(value, options.metadata);
  return [entryOf(stored, headOf(stored, data), [], data, pick(data, OMITTED))];
}

/** Only read to be shown. */
function describeLargeText(stored: RawStored): TimelineEntry {
  const bytes = Buffer.from(String(parsed(stored.text)?.base64 ?? ""), "base64");
  const text = bytes.toString();
  return entryOf(stored, `large metadata (${bytes.length} bytes)`, [text], { text });
}

const OMITTED = [
  ...[
    "tenant",
    "sessionId",
    "taskId",
    "session",
    "session_id",
    "tenant_id",
    "at",
    "type",
    "requestHash",
    "writeId",
    "v",
  ],
  // Long, and visible from other entries.
  ...[
    "history",
    "attempts",
    "changes",
    "usage",
    "metrics",
    "deadlineMs",
    "sessionId",
    "taskId",
    "state",
    "attempt",
  ],
];

function headOf(stored: RawStored, data: Record<string, unknown>): string {
  const attempt = data.attempt === undefined ? "" : `, attempt ${data.attempt}`;
  switch (stored.stream) {
    case "SESSIONS":
    case "TASKS":
    case "HANDOFFS":
      return `event: ${data.type ?? stored.subject}${attempt}`;
    case "SESSIONS_OVERFLOW":
      return `event while the stream had no leader: ${data.type}${attempt}`;
    case "CALLS":
      return `call record: ${data.outcome}`;
    default: {
      const state = data.state === undefined ? "" : `: ${data.state}`;
      return `${nameOf(stored.stream)}${state}${attempt}`;
    }
  }
}

const NAMES: Readonly<Record<string, string>> = {
  KV_launches: "launch",
  KV_claims: "dispatch",
  KV_usage_reports: "usage report",
  KV_conversations: "conversation",
  KV_tasks: "task",
  WEBHOOKS: "event for a webhook",
  WEBHOOK_DELIVERIES: "delivery to a webhook",
};

const nameOf = (stream: string): string => NAMES[stream] ?? stream;

function describeDeadLetter(stored: RawStored): TimelineEntry {
  const letter = parsed(stored.text) as DeadLetter | undefined;
  if (letter === undefined) return entryOf(stored, "unreadable dead letter");
  return entryOf(
    stored,
    `DEAD LETTER on ${letter.subject} (${letter.stream} ${letter.sequence}): ${letter.reason}`,
    [`after ${letter.deliveries} deliveries; beginning of its payload: ${letter.payload.slice(0, 120)}`],
  );
}

/** A batch is stored shortly after its lines. If the host's clock is off, a line gets the time of its batch. */
const BATCH_MS = 60_000;

function describeLogs(stored: RawStored): TimelineEntry[] {
  const batch = parsed(stored.text) as LogBatch | undefined;
  if (!Array.isArray(batch?.lines)) return [entryOf(stored, "unreadable log lines")];
  return batch.lines.map((line) => {
    const entry = entryOf(
      stored,
      `log ${line.level}: ${line.message}${line.attempt === undefined ? "" : ` (attempt ${line.attempt})`}`,
    );
    const lateMs = stored.at.getTime() - Date.parse(line.at);
    return lateMs >= 0 && lateMs < BATCH_MS ? { ...entry, at: new Date(line.at).toISOString() } : entry;
  });
}

function describeConversation(stored: RawStored, showAll: boolean): TimelineEntry {
  if (stored.text === undefined) return entryOf(stored, "conversation checkpoint deleted");
  const value = parsed(stored.text) ?? {};
  const items = Array.isArray(value.items) ? (value.items as Record<string, unknown>[]) : [];
  const left = Number(value.omitted) > 0 ? `, ${value.omitted} older ones left out` : "";
  const lines = items.map(({ type, role, content, name }) => {
    const text = Array.isArray(content) ? content.map(String).join(" ") : "";
    return `${role ?? type}: ${text || String(name ?? "")}`;
  });
  return entryOf(
    stored,
    `conversation checkpoint ${value.checkpoint}, attempt ${value.attempt}: ${items.length} items, ${Buffer.byteLength(stored.text)} bytes${left}`,
    showAll ? lines : [],
  );
}
