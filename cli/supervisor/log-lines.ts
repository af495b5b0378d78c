// Converts the output of all children into one log of JSON objects, each with the name of its service.
import { logLevels } from "../../libs/runtime/log.ts";

export interface LogRecord {
  readonly level: string;
  readonly time: string;
  readonly service: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/**
 * Parses a line of a child's output.
 *
 * Services write JSON, which remains unchanged. nats-server writes `[pid] date time [INF] text`, livekit-server JSON
 * with other field names. Other lines become plain messages: warnings if they come from stderr, else information.
 */
export function recordOf(service: string, line: string, isError: boolean, now: () => string): LogRecord {
  const json = parseObject(line);
  if (json !== undefined && typeof json.service === "string" && typeof json.time === "string") {
    // If there are several processes of a service, uses the name of the process.
    const isOneOfSeveral = service.startsWith(`${json.service}-`);
    return { ...json, ...(isOneOfSeveral ? { service } : {}) } as unknown as LogRecord;
  }
  if (json !== undefined && typeof json.msg === "string") {
    const { level, ts: _ts, ...fields } = json;
    return { level: String(level ?? "info"), time: now(), service, ...fields } as unknown as LogRecord;
  }
  const nats = line.match(/^\[\d+\] \S+ \S+ \[([A-Z]{3})\] (.*)$/);
  if (isNats(service) && nats !== null) {
    const msg = nats[2]!;
    // A node retries until the others are running. The supervisor reports a node that died.
    const isUsual = msg.startsWith("Error trying to connect to route");
    const level = isUsual ? "debug" : (natsLevels[nats[1]!] ?? "info");
    return { level, time: now(), service, msg };
  }
  return { level: isError ? "warn" : "info", time: now(), service, msg: line };
}

const isNats = (service: string): boolean => /^nats(-\d+)?$/.test(service);

/** nats-server prints thirty lines at each start, which matter only for troubleshooting. */
const natsLevels: Record<string, string> = {
  TRC: "trace",
  DBG: "trace",
  INF: "debug",
  WRN: "warn",
  ERR: "error",
  FTL: "fatal",
};

/** The error in a record, in one line; undefined if the record is not an error. */
export function errorOf(record: LogRecord, isError: boolean): string | undefined {
  const isSevere = record.level === "error" || record.level === "fatal";
  if (!isSevere && !isError) return undefined;
  const cause = record.error;
  const detail =
    typeof cause === "string"
      ? cause
      : typeof cause === "object" && cause !== null && "message" in cause
        ? String(cause.message)
        : undefined;
  return detail === undefined ? record.msg : `${record.msg}: ${detail}`;
}

const severity = (level: string): number => (logLevels as readonly string[]).indexOf(level);

/** Whether a level is at least the configured one. Unknown levels are shown. */
const isShown = (level: string, least: string): boolean =>
  severity(level) === -1 || severity(level) >= severity(least);

function parseObject(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

export type LineLogger = (service: string, line: string, isError: boolean) => string | undefined;

/** Writes each line's record, and returns the error in a line. */
export function createLineLogger(write: (record: LogRecord) => void, leastLevel: string): LineLogger {
  return (service, line, isError) => {
    const record = recordOf(service, line, isError, () => new Date().toISOString());
    if (isShown(record.level, leastLevel)) write(record);
    return errorOf(record, isError);
  };
}
