// Decides whether another attempt may succeed after an error of an agent file.
import { messageOf } from "../../../libs/contracts/errors.ts";

/** The words with which LiveKit's plugins and the SDKs of providers ask for a key. */
const KEY = /api[ _-]?(key|secret)/i;
const VARIABLE = /\b[A-Z][A-Z0-9_]*_(KEY|SECRET|TOKEN|CREDENTIALS)\b/;
const IS_MISSING =
  /\b(required|missing|must be set|must be provided|not set|not provided|is not defined|could not be found)\b/i;

/** Any other environment variable, such as the id of an avatar: LIVEAVATAR_AVATAR_ID must be set. */
const SETTING_IS_MISSING =
  /\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+( environment variable)? (is (required|missing|not set|not defined)|must be set)\b/;

/** Errors of LiveKit's code for a second AgentSession of a job. LiveKit's own worker ends the job with them, too. */
const REFUSED =
  /^Only one `AgentSession` can be the primary|handler for topic "lk\.[^"]*" has already been set/;

/** Whether LiveKit refuses a second AgentSession, which it would do in every attempt. */
export const isSecondSession = (error: unknown): boolean => REFUSED.test(messageOf(error));

/** Whether the error reports that a key or a setting is missing. Another attempt would miss it, too. */
function isMissingKey(error: unknown): boolean {
  const message = messageOf(error);
  return (
    SETTING_IS_MISSING.test(message) ||
    ((KEY.test(message) || VARIABLE.test(message)) && IS_MISSING.test(message))
  );
}

/** The native library's words for a server that it can't reach, or that refuses the connection. */
export const isUnreachable = (error: unknown): boolean => messageOf(error).includes("signal failure");

/**
 * The class of an error is no evidence: a network error is a TypeError too. LiveKit's own errors have the flag.
 */
export const isRetryable = (error: unknown): boolean =>
  !(error instanceof Error && "retryable" in error && error.retryable === false) &&
  !isMissingKey(error) &&
  !isSecondSession(error);
