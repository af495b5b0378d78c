// The one table of errors: what each code means, whether to try again, and how HTTP says it.

interface ErrorKind {
  readonly http: number;
  readonly retryable: boolean;
  readonly description: string;
}

export const errorTable = {
  invalid_request: {
    http: 400,
    retryable: false,
    description: "The request is not of the shape that this route takes.",
  },
  unauthorized: {
    http: 401,
    retryable: false,
    description: "The caller did not say who it is, or the signature is wrong.",
  },
  forbidden: { http: 403, retryable: false, description: "The caller may not do this." },
  not_found: { http: 404, retryable: false, description: "There is nothing by this name." },
  unknown_profile: { http: 404, retryable: false, description: "No host has an agent file of this name." },
  method_not_allowed: {
    http: 405,
    retryable: false,
    description: "The route exists, but not with this method.",
  },
  conflict: { http: 409, retryable: false, description: "The present state does not allow this." },
  idempotency_conflict: {
    http: 409,
    retryable: false,
    description: "This Idempotency-Key was used with another request.",
  },
  claim_used: {
    http: 409,
    retryable: false,
    description: "Somebody has claimed the dispatch; it gives one token.",
  },
  claim_expired: { http: 410, retryable: false, description: "Nobody claimed the dispatch in time." },
  claim_over: {
    http: 410,
    retryable: false,
    description: "The session has ended or went on with another attempt: leave its room.",
  },
  payload_too_large: {
    http: 413,
    retryable: false,
    description: "The body is larger than the gateway takes.",
  },
  unsupported_media_type: {
    http: 415,
    retryable: false,
    description: "Bodies are JSON: send Content-Type: application/json.",
  },
  at_capacity: { http: 429, retryable: true, description: "Every agent is busy and the queue is full." },
  overloaded: {
    http: 429,
    retryable: true,
    description: "This gateway has as many starts under way as it can take on. Wait as long as it says.",
  },
  rate_limited: { http: 429, retryable: true, description: "This caller sends requests faster than it may." },
  internal: { http: 500, retryable: true, description: "A bug. The log has its trace." },
  no_hosts: { http: 503, retryable: true, description: "No agent-host is up." },
  profile_unavailable: {
    http: 503,
    retryable: true,
    description: "The profile is disabled or fails on every host.",
  },
  agent_failed: {
    http: 503,
    retryable: true,
    description: "The agent failed or was lost before the session was ready, in every attempt.",
  },
  storage_full: {
    http: 503,
    retryable: true,
    description: "The store takes no new sessions; running ones go on.",
  },
  unreadable_record: {
    http: 500,
    retryable: true,
    description: "A stored record is of no shape that this version knows. Repair or remove it.",
  },
  storage_unavailable: { http: 503, retryable: true, description: "NATS did not answer." },
  livekit_unavailable: {
    http: 503,
    retryable: true,
    description: "LiveKit did not answer, or none is configured.",
  },
  provider_unavailable: {
    http: 503,
    retryable: true,
    description:
      "Who makes the calls or gives the agents did not answer, or gave no answer that can be read.",
  },
  shutting_down: { http: 503, retryable: true, description: "This gateway is stopping; ask another." },
  ready_timeout: { http: 504, retryable: true, description: "The agent did not become ready in time." },
  no_responders: {
    http: 503,
    retryable: true,
    description: "Nobody listens on that subject: the process is gone.",
  },
  timeout: {
    http: 504,
    retryable: true,
    description: "No answer came in time; it may have been done or not.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

/**
 * An operating failure: something outside the code went wrong.
 *
 * `message` says what was being done and what to do about it. Expected outcomes are return values, and bugs
 * are assertions; neither is ever thrown as this.
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

/** True when `error` is ours and has that code. */
export const isError = (error: unknown, code: ErrorCode): boolean =>
  error instanceof GreenroomError && error.code === code;

/** What a person should read of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
