// The log of agents: lines of LiveKit's logger and of console go to the host, with the id of their session.
import { format } from "node:util";
import { getJobContext } from "@livekit/agents";
import { type Logger, pino, stdSerializers } from "pino";
import { redactTokens } from "../../../libs/runtime/redact-tokens.ts";
import type { ProcessLogLine, ProcessToHost } from "../pool/messages.ts";

/** The owner of a log line, stored on the job's context and found through async context. */
export interface LogOwner {
  readonly slot: string;
  readonly sessionId: string;
}

export const logOwner = Symbol.for("greenroom.logOwner");

/** The keys under which every copy of @livekit/agents stores its logger. */
const LOGGER = Symbol.for("@livekit/agents:logger");
const LOGGER_OPTIONS = Symbol.for("@livekit/agents:loggerOptions");

export const currentOwner = (): LogOwner | undefined =>
  (getJobContext(false) as { [logOwner]?: LogOwner } | undefined)?.[logOwner];

/**
 * Replaces LiveKit's logger and the functions of console.
 *
 * LiveKit's classes read the logger when they are constructed. They get one that is bound to the current session, so that
 * later lines, from timers or native callbacks, still have its id.
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
  // Files may call initializeLogger(), which assigns both. The assignments have no effect.
  for (const [key, get] of [
    [LOGGER, present],
    [LOGGER_OPTIONS, () => ({ pretty: false, level })],
  ] as const) {
    Object.defineProperty(globalThis, key, { configurable: true, get, set: () => {} });
  }
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
