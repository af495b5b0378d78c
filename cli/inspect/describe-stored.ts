// What everything but the record tells of a session or task: messages, launches, log lines, the call, dead letters.
import type { RawStored } from "../../libs/bus/nats/inspect.ts";
import type { DeadLetter, LogBatch } from "../../libs/contracts/fleet/pool.ts";
import { fieldsOf, type Happening, happening, parsed, withoutMetadata } from "./timeline.ts";

export interface TellOptions {
  /** Metadata as they are. */
  readonly metadata: boolean;
  /** What was said, and not only how much. */
  readonly conversation: boolean;
}

/** How each stream's messages are told. */
export function tellStored(stored: RawStored, options: TellOptions): Happening[] {
  if (stored.stream === "DEAD_LETTERS") return [tellDeadLetter(stored)];
  if (stored.stream === "SESSION_LOGS") return tellLogs(stored);
  if (stored.stream === "KV_conversations") return [tellConversation(stored, options.conversation)];
  const value = parsed(stored.text);
  if (stored.text === undefined) return [happening(stored, `${nameOf(stored.stream)} removed`)];
  if (value === undefined)
    return [happening(stored, "a message that isn't JSON", [stored.text.slice(0, 240)])];
  const data = withoutMetadata(value, options.metadata);
  const details = fieldsOf(data, UNSAID);
  return [happening(stored, `${headOf(stored, data)}`, details === "" ? [] : [details], data)];
}

const UNSAID = [
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
  // Long, and told by what led to it.
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
      return `said: ${data.type ?? stored.subject}${attempt}`;
    case "SESSIONS_OVERFLOW":
      return `said while the stream had no leader: ${data.type}${attempt}`;
    case "CALLS":
      return `recorded as a call: ${data.outcome}`;
    default: {
      const state = data.state === undefined ? "" : `: ${data.state}`;
      return `${nameOf(stored.stream)}${state}${attempt}`;
    }
  }
}

const NAMES: Readonly<Record<string, string>> = {
  KV_launches: "launch",
  KV_claims: "dispatch",
  KV_usage_reports: "the host's report",
  KV_conversations: "conversation",
  KV_tasks: "task",
  WEBHOOKS: "to be told to a webhook",
  WEBHOOK_DELIVERIES: "delivery to a webhook",
};

const nameOf = (stream: string): string => NAMES[stream] ?? stream;

function tellDeadLetter(stored: RawStored): Happening {
  const letter = parsed(stored.text) as DeadLetter | undefined;
  if (letter === undefined) return happening(stored, "a dead letter that nobody can read");
  return happening(
    stored,
    `DEAD LETTER on ${letter.subject} (${letter.stream} ${letter.sequence}): ${letter.reason}`,
    [`after ${letter.deliveries} deliveries; its payload begins ${letter.payload.slice(0, 120)}`],
  );
}

/** A batch comes a moment after its lines; a line whose host's clock is off is told when the batch came. */
const BATCH_MS = 60_000;

function tellLogs(stored: RawStored): Happening[] {
  const batch = parsed(stored.text) as LogBatch | undefined;
  if (!Array.isArray(batch?.lines)) return [happening(stored, "log lines that nobody can read")];
  return batch.lines.map((line) => {
    const told = happening(
      stored,
      `log ${line.level}: ${line.message}${line.attempt === undefined ? "" : ` (attempt ${line.attempt})`}`,
    );
    const lateMs = stored.at.getTime() - Date.parse(line.at);
    return lateMs >= 0 && lateMs < BATCH_MS ? { ...told, at: new Date(line.at).toISOString() } : told;
  });
}

function tellConversation(stored: RawStored, showAll: boolean): Happening {
  if (stored.text === undefined) return happening(stored, "the conversation's checkpoint is removed");
  const value = parsed(stored.text) ?? {};
  const items = Array.isArray(value.items) ? (value.items as Record<string, unknown>[]) : [];
  const left = Number(value.omitted) > 0 ? `, ${value.omitted} older ones left out` : "";
  const lines = items.map(({ type, role, content, name }) => {
    const said = Array.isArray(content) ? content.map(String).join(" ") : "";
    return `${role ?? type}: ${said || String(name ?? "")}`;
  });
  return happening(
    stored,
    `checkpoint ${value.checkpoint} of the conversation, attempt ${value.attempt}: ${items.length} items, ${Buffer.byteLength(stored.text)} bytes${left}`,
    showAll ? lines : [],
  );
}
