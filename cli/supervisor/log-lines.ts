// Makes one log of what all children write: each line is a JSON object that names its service.
import { logLevels } from "../../libs/runtime/log.ts";

export interface LogRecord {
  readonly level: string;
  readonly time: string;
  readonly service: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/**
 * What a child's line says, as a record.
 *
 * Services log JSON themselves, and it stays as it is. nats-server writes `[pid] date time [INF] text`,
 * livekit-server JSON with other names. Anything else is text: a warning if it came on stderr, where a
 * runtime says what it dislikes.
 */
export function recordOf(service: string, line: string, isError: boolean, now: () => string): LogRecord {
  const json = parseObject(line);
  if (json !== undefined && typeof json.service === "string" && typeof json.time === "string") {
    // Of several processes of one service each has a name of its own.
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
    // A node looks for the others until they are there; of one that died the supervisor tells.
    const isUsual = msg.startsWith("Error trying to connect to route");
    const level = isUsual ? "debug" : (natsLevels[nats[1]!] ?? "info");
    return { level, time: now(), service, msg };
  }
  return { level: isError ? "warn" : "info", time: now(), service, msg: line };
}

const isNats = (service: string): boolean => /^nats(-\d+)?$/.test(service);

/** nats-server greets with thirty lines that only matter when something is wrong with it. */
const natsLevels: Record<string, string> = {
  TRC: "trace",
  DBG: "trace",
  INF: "debug",
  WRN: "warn",
  ERR: "error",
  FTL: "fatal",
};

/** The error a record tells of, in one line; undefined when it tells of none. */
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

/** Whether a line of this level is shown when `least` is the setting. Unknown levels are. */
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

export type TakeLine = (service: string, line: string, isError: boolean) => string | undefined;

/** Writes every line to one place, and answers the error that a line tells of. */
export function createTakeLine(write: (record: LogRecord) => void, leastLevel: string): TakeLine {
  return (service, line, isError) => {
    const record = recordOf(service, line, isError, () => new Date().toISOString());
    if (isShown(record.level, leastLevel)) write(record);
    return errorOf(record, isError);
  };
}
