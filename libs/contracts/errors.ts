// The table of error codes: HTTP status, whether a retry makes sense, and the meaning.

interface ErrorKind {
  readonly http: number;
  readonly retryable: boolean;
  readonly description: string;
}

export const errorTable = {
  invalid_request: {
    http: 400,
    retryable: false,
    description: "The request does not match the schema of this route.",
  },
  unauthorized: {
    http: 401,
    retryable: false,
    description: "Missing or invalid credentials.",
  },
  forbidden: { http: 403, retryable: false, description: "The credentials do not permit this request." },
  not_found: { http: 404, retryable: false, description: "No such object." },
  unknown_profile: { http: 404, retryable: false, description: "No host has an agent file with this name." },
  method_not_allowed: {
    http: 405,
    retryable: false,
    description: "The route does not support this method.",
  },
  conflict: { http: 409, retryable: false, description: "The request conflicts with the present state." },
  idempotency_conflict: {
    http: 409,
    retryable: false,
    description: "The Idempotency-Key was already used with a different request.",
  },
  claim_used: {
    http: 409,
    retryable: false,
    description: "The claim ticket was already claimed. It is valid once.",
  },
  claim_expired: { http: 410, retryable: false, description: "The claim ticket has expired." },
  claim_over: {
    http: 410,
    retryable: false,
    description: "The session has ended or continues with another attempt. Leave the room.",
  },
  payload_too_large: {
    http: 413,
    retryable: false,
    description: "The request body is too large.",
  },
  unsupported_media_type: {
    http: 415,
    retryable: false,
    description: "The request body must be JSON. Send Content-Type: application/json.",
  },
  at_capacity: { http: 429, retryable: true, description: "All agents are busy and the wait queue is full." },
  overloaded: {
    http: 429,
    retryable: true,
    description: "The gateway has too many pending starts or is too slow. Retry after the given time.",
  },
  rate_limited: { http: 429, retryable: true, description: "The client exceeds its rate limit." },
  internal: {
    http: 500,
    retryable: true,
    description: "Unexpected error. The log contains the trace id and the stack.",
  },
  no_hosts: { http: 503, retryable: true, description: "No agent-host is running." },
  profile_unavailable: {
    http: 503,
    retryable: true,
    description: "The profile is disabled or failed on every host.",
  },
  agent_failed: {
    http: 503,
    retryable: true,
    description: "The agent failed or was lost before the session was ready, in every attempt.",
  },
  storage_full: {
    http: 503,
    retryable: true,
    description: "The store is almost full. New sessions are refused, and running sessions continue.",
  },
  unreadable_record: {
    http: 500,
    retryable: true,
    description: "A stored record can't be read by this version. Repair or remove the record.",
  },
  storage_unavailable: { http: 503, retryable: true, description: "NATS did not answer." },
  livekit_unavailable: {
    http: 503,
    retryable: true,
    description: "LiveKit did not answer or is not configured.",
  },
  provider_unavailable: {
    http: 503,
    retryable: true,
    description: "The provider did not answer, or its answer can't be read.",
  },
  shutting_down: { http: 503, retryable: true, description: "The gateway is stopping. Use another one." },
  ready_timeout: { http: 504, retryable: true, description: "The agent did not become ready in time." },
  no_responders: {
    http: 503,
    retryable: true,
    description: "No process listens on the subject.",
  },
  timeout: {
    http: 504,
    retryable: true,
    description: "No answer in time. The request may or may not have been carried out.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

/**
 * An operating failure: something outside the code failed.
 *
 * `message` names what was being done and what to do about the failure. Expected outcomes are return values, and bugs
 * are assertions. Neither is thrown as a GreenroomError.
 */
export class GreenroomError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GreenroomError";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }
}

/** True if `error` is a GreenroomError with that code. */
export const isError = (error: unknown, code: ErrorCode): boolean =>
  error instanceof GreenroomError && error.code === code;

/** The message of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
