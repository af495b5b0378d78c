// Structured logs: each line is a JSON object on stdout. The supervisor formats them for a terminal.
import { type Logger, pino } from "pino";
import { redactTokens } from "./redact-tokens.ts";

export type Log = Pick<Logger, "debug" | "info" | "warn" | "error" | "fatal"> & {
  child(bindings: Record<string, unknown>): Log;
};

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/**
 * Synchronous, because asynchronous pino never ends when the reader of stdout is gone: sonic-boom's flushSync retries
 * on EPIPE forever. A service must end when its supervisor was killed (I10).
 */
const stdout = () => pino.destination({ dest: 1, sync: true });

/** The log of a process. Every line has its service and pid. The default destination is stdout. */
export const createLog = (
  service: string,
  level: (typeof logLevels)[number] = "info",
  destination: { write(line: string): void } = stdout(),
): Log =>
  pino(
    {
      level,
      base: { service, pid: process.pid },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error: pino.stdSerializers.err },
      hooks: { streamWrite: redactTokens },
    },
    destination,
  ) as unknown as Log;

/** For tests and simulations that check nothing about logs. */
export const silentLog: Log = pino({ level: "silent" }) as unknown as Log;
