// Formats calls as lines of CSV (RFC 4180) that are safe in a spreadsheet.
import type { CallRecord } from "../../../libs/contracts/calls/call.ts";

type Cell = string | number | boolean | undefined;

const columns: readonly [name: string, of: (call: CallRecord) => Cell][] = [
  ["session_id", (call) => call.sessionId],
  ["profile", (call) => call.profile],
  ["provider", (call) => call.provider],
  ["user_id", (call) => call.user.id],
  ["user_name", (call) => call.user.name],
  ["started_at", (call) => call.startedAt],
  ["answered_at", (call) => call.answeredAt],
  ["ended_at", (call) => call.endedAt],
  ["outcome", (call) => call.outcome],
  ["ended_reason", (call) => call.endedReason],
  ["fault", (call) => call.fault],
  ["reason", (call) => call.reason],
  ["answered", (call) => call.answered],
  ["start_ms", (call) => call.startMs],
  ["duration_ms", (call) => call.metrics.durationMs],
  ["warm", (call) => call.warm],
  ["attempts", (call) => call.attemptCount],
  ["failures", (call) => call.failures],
  ["failovers", (call) => call.failovers],
  ["failover_reason", (call) => call.failoverReason],
  ["to", (call) => call.phoneCall?.to],
  ["call_status", (call) => call.phoneCall?.status],
  ["user_turns", (call) => call.metrics.userTurns],
  ["agent_turns", (call) => call.metrics.agentTurns],
  ["interruptions", (call) => call.metrics.interruptions],
  ["tool_calls", (call) => call.metrics.toolCalls],
  ["tool_errors", (call) => call.metrics.toolErrors],
  ["tool_execution_ms", (call) => call.metrics.toolExecutionMs],
  ["response_p50_ms", (call) => call.metrics.response?.p50Ms],
  ["response_p95_ms", (call) => call.metrics.response?.p95Ms],
  ["llm_p50_ms", (call) => call.metrics.llm?.p50Ms],
  ["stt_p50_ms", (call) => call.metrics.stt?.p50Ms],
  ["tts_p50_ms", (call) => call.metrics.tts?.p50Ms],
  ["end_of_turn_p50_ms", (call) => call.metrics.endOfTurn?.p50Ms],
  ["input_tokens", (call) => call.metrics.inputTokens],
  ["output_tokens", (call) => call.metrics.outputTokens],
  ["tts_characters", (call) => call.metrics.characters],
  ["heard_ms", (call) => call.metrics.heardMs],
  ["spoken_ms", (call) => call.metrics.spokenMs],
  ["version", (call) => call.version],
];

export const csvHeader = (): string => `${columns.map(([name]) => name).join(",")}\r\n`;

export const csvLine = (call: CallRecord): string =>
  `${columns.map(([, of]) => csvCell(of(call))).join(",")}\r\n`;

/**
 * The beginning of a cell that spreadsheets treat as a formula (OWASP, "CSV Injection"). Callers provide the contents,
 * so an apostrophe turns such a cell into text. Leading spaces count too, because some programs skip them.
 */
const FORMULA = /^[\s\p{Cc}]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/u;

export function csvCell(value: Cell): string {
  if (value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) || text !== value ? `"${text.replaceAll('"', '""')}"` : text;
}
