// One log line is one JSON object on stdout; the supervisor makes it pretty on a terminal.
import { type Logger, pino } from "pino";
import { redactTokens } from "./redact-tokens.ts";

export type Log = Pick<Logger, "debug" | "info" | "warn" | "error" | "fatal"> & {
  child(bindings: Record<string, unknown>): Log;
};

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/**
 * Synchronous, since pino's other way loops for ever in an exit when the reader of stdout is gone (sonic-boom's
 * flushSync takes EPIPE for something that passes), and a service must end when its supervisor was killed.
 */
const stdout = () => pino.destination({ dest: 1, sync: true });

/** The log of a process. Every line names its service. It goes to stdout, or where it is told to. */
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

/** For tests and simulations that look at other things. */
export const silentLog: Log = pino({ level: "silent" }) as unknown as Log;
