// Sends every error in the same shape, with the HTTP status of its code.
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { type ErrorCode, errorTable, GreenroomError } from "../../../libs/contracts/errors.ts";
import type { ErrorAnswer, ErrorBody } from "../../../libs/contracts/sessions/http.ts";
import type { Log } from "../../../libs/runtime/log.ts";

/** A failure of one session. The answer contains the session's id. */
export class SessionError extends GreenroomError {
  readonly sessionId: string;

  constructor(
    sessionId: string,
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number } = {},
  ) {
    super(code, message, options);
    this.sessionId = sessionId;
  }
}

/** Codes for Fastify's own errors. Any other 4xx of Fastify becomes `invalid_request`. */
const codeOfFastify: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported_media_type",
  FST_ERR_CTP_BODY_TOO_LARGE: "payload_too_large",
};

const messageOfFastify: Record<string, string> = {
  FST_ERR_MAX_PARAM_LENGTH: "A part of the URL is too long.",
  FST_ERR_BAD_URL: "The URL can't be decoded: two hex digits must follow a %.",
  FST_ERR_CTP_INVALID_JSON_BODY: "The request body is not valid JSON.",
  FST_ERR_CTP_BODY_TOO_LARGE: "The request body is larger than GREENROOM_BODY_LIMIT_BYTES.",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "The request body must be JSON. Send Content-Type: application/json.",
};

/** @returns undefined for a bug, whose message belongs into the log but not to the client */
function toGreenroomError(error: unknown): GreenroomError | undefined {
  if (error instanceof GreenroomError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    return new GreenroomError("invalid_request", describeFaults(error));
  }
  const { code = "", statusCode = 500, message } = (error ?? {}) as Partial<FastifyError>;
  if (statusCode < 400 || statusCode >= 500) return undefined;
  return new GreenroomError(
    codeOfFastify[code] ?? "invalid_request",
    messageOfFastify[code] ?? message ?? errorTable.invalid_request.description,
  );
}

interface Faults {
  readonly validation: readonly { readonly instancePath: string; readonly message?: string | undefined }[];
  readonly validationContext?: string | undefined;
}

/** Each fault with its field: "body.wait: Too big: expected number to be <=30000". */
function describeFaults({ validation, validationContext = "request" }: Faults): string {
  const where = validationContext === "querystring" ? "query" : validationContext;
  return validation
    .slice(0, 5)
    .map(({ instancePath, message }) => {
      const path = [where, ...instancePath.split("/").filter((part) => part !== "")].join(".");
      return `${path}: ${message ?? "invalid value"}`;
    })
    .join("; ");
}

const UNEXPECTED = "Unexpected error in the gateway. Search its log for this traceId.";

/** The error for clients, over HTTP and WebSocket. */
export function describeError(error: unknown, traceId: string, log: Log): ErrorBody {
  const known = toGreenroomError(error);
  if (known === undefined || known.code === "internal") log.error({ error, traceId }, "request failed");
  const code = known?.code ?? "internal";
  return {
    code,
    message: known === undefined ? UNEXPECTED : known.message,
    retryable: errorTable[code].retryable,
    ...(known?.retryAfterMs === undefined ? {} : { retryAfterMs: Math.ceil(known.retryAfterMs) }),
    ...(known instanceof SessionError ? { sessionId: known.sessionId } : {}),
    traceId,
  };
}

export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log) {
  const body = describeError(error, request.id, log);
  if (body.retryAfterMs !== undefined) reply.header("Retry-After", Math.ceil(body.retryAfterMs / 1000));
  // Hooks add this header, but a request may be rejected before any hook ran.
  reply.header("X-Request-Id", request.id);
  const answer: ErrorAnswer = { success: false, error: body };
  // Not the route's serializer, which could fail as well.
  return reply
    .code(errorTable[body.code].http)
    .type("application/json; charset=utf-8")
    .serializer(JSON.stringify as (payload: unknown) => string)
    .send(answer);
}
