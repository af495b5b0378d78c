// Every error as the one shape that clients know, with the status of the one table.
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { type ErrorCode, errorTable, GreenroomError } from "../../../libs/contracts/errors.ts";
import type { ErrorAnswer, ErrorBody } from "../../../libs/contracts/sessions/http.ts";
import type { Log } from "../../../libs/runtime/log.ts";

/** A failure of one session, which the answer names. */
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

/** What Fastify itself refuses, by its codes; any other 4xx of its own is an invalid request. */
const codeOfFastify: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported_media_type",
  FST_ERR_CTP_BODY_TOO_LARGE: "payload_too_large",
};

const messageOfFastify: Record<string, string> = {
  FST_ERR_MAX_PARAM_LENGTH: "A part of the address is longer than anything it could name.",
  FST_ERR_BAD_URL: "The address can't be decoded: a % must be followed by two hex digits.",
  FST_ERR_CTP_INVALID_JSON_BODY: "The body is not JSON.",
  FST_ERR_CTP_BODY_TOO_LARGE: "The body is larger than GREENROOM_BODY_LIMIT_BYTES allows.",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "Bodies are JSON: send Content-Type: application/json.",
};

/** @returns undefined for a bug, whose words are for the log and not for the client */
function toOurs(error: unknown): GreenroomError | undefined {
  if (error instanceof GreenroomError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    return new GreenroomError("invalid_request", sayFaults(error));
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

/** Each fault with the field it is about: "body.wait: Too big: expected number to be <=30000". */
function sayFaults({ validation, validationContext = "request" }: Faults): string {
  const where = validationContext === "querystring" ? "query" : validationContext;
  return validation
    .slice(0, 5)
    .map(({ instancePath, message }) => {
      const path = [where, ...instancePath.split("/").filter((part) => part !== "")].join(".");
      return `${path}: ${message ?? "it can't be used"}`;
    })
    .join("; ");
}

const LAST_RESORT = "Something went wrong inside the gateway. Its log says more under this traceId.";

/** The error as a client reads it; HTTP and the WebSocket say the same. */
export function describeError(error: unknown, traceId: string, log: Log): ErrorBody {
  const ours = toOurs(error);
  if (ours === undefined || ours.code === "internal") log.error({ error, traceId }, "a request failed");
  const code = ours?.code ?? "internal";
  return {
    code,
    message: ours === undefined ? LAST_RESORT : ours.message,
    retryable: errorTable[code].retryable,
    ...(ours?.retryAfterMs === undefined ? {} : { retryAfterMs: Math.ceil(ours.retryAfterMs) }),
    ...(ours instanceof SessionError ? { sessionId: ours.sessionId } : {}),
    traceId,
  };
}

export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log) {
  const body = describeError(error, request.id, log);
  if (body.retryAfterMs !== undefined) reply.header("Retry-After", Math.ceil(body.retryAfterMs / 1000));
  // A request that was refused before any hook ran has it not yet.
  reply.header("X-Request-Id", request.id);
  const answer: ErrorAnswer = { success: false, error: body };
  // A serializer of the route would be another place to fail.
  return reply
    .code(errorTable[body.code].http)
    .type("application/json; charset=utf-8")
    .serializer(JSON.stringify as (payload: unknown) => string)
    .send(answer);
}
