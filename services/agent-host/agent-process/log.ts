// An agent's log: what it says by LiveKit's logger or by console reaches the host, with its session's name.
import { format } from "node:util";
import { getJobContext } from "@livekit/agents";
import { type Logger, pino, stdSerializers } from "pino";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import type { ProcessLogLine, ProcessToHost } from "../pool/messages.ts";

/** What a log line belongs to; kept on the job's context, found again through async context. */
export interface LogOwner {
  readonly slot: string;
  readonly sessionId: string;
}

export const logOwner = Symbol.for("greenroom.logOwner");

/** Under these the @livekit/agents package keeps its logger, in whichever copy of it. */
const LOGGER = Symbol.for("@livekit/agents:logger");
const LOGGER_OPTIONS = Symbol.for("@livekit/agents:loggerOptions");

export const currentOwner = (): LogOwner | undefined =>
  (getJobContext(false) as { [logOwner]?: LogOwner } | undefined)?.[logOwner];

/**
 * Puts our logger in the place of LiveKit's, and console's functions in front of it.
 *
 * LiveKit's classes take `log()` when they are made, so the place answers with a logger that is bound to the
 * session at hand; lines said later, from timers or native callbacks, then still know whose they are.
 */
export function captureLogs(level: string, send: (message: ProcessToHost) => void): Logger {
  const base = pino(
    { level, base: null, serializers: { error: stdSerializers.err, err: stdSerializers.err } },
    { write: (text: string) => send(parsed(redactTokens(text))) },
  );
  const children = new Map<string, Logger>();
  const present = (): Logger => {
    const owner = currentOwner();
    if (owner === undefined) return base;
    const child = children.get(owner.slot) ?? base.child({ slot: owner.slot, sessionId: owner.sessionId });
    children.set(owner.slot, child);
    return child;
  };
  Object.defineProperty(globalThis, LOGGER, { configurable: true, get: present, set: () => {} });
  Object.defineProperty(globalThis, LOGGER_OPTIONS, { configurable: true, value: { pretty: false, level } });
  for (const [method, as] of [
    ["log", "info"],
    ["info", "info"],
    ["debug", "debug"],
    ["warn", "warn"],
    ["error", "error"],
  ] as const) {
    console[method] = (...args: unknown[]) => present()[as](format(...args));
  }
  return base;
}

const levels: Record<number, string> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

function parsed(text: string): ProcessToHost {
  const { level, time, msg, slot, sessionId, ...fields } = JSON.parse(text) as Record<string, unknown>;
  const line: ProcessLogLine = {
    at: new Date(Number(time)).toISOString(),
    level: levels[Number(level)] ?? "info",
    message: typeof msg === "string" ? msg : "",
    fields,
  };
  return {
    type: "log",
    slot: typeof slot === "string" ? slot : undefined,
    sessionId: typeof sessionId === "string" ? sessionId : undefined,
    line,
  };
}
