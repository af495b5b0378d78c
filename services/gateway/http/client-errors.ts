// Answers requests that never reach a route: a URL that can't be decoded, or invalid HTTP.
import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyServerOptions } from "fastify";
import type { ErrorAnswer } from "../../../libs/contracts/sessions/http.ts";
import type { Log } from "../../../libs/runtime/log.ts";
import { sendError } from "./errors.ts";

export const handleClientErrors = (
  log: Log,
): Required<Pick<FastifyServerOptions, "frameworkErrors" | "clientErrorHandler">> => ({
  frameworkErrors: (error, request, reply) => {
    sendError(error, request, reply, log);
  },
  clientErrorHandler: (error, socket) => {
    if (!socket.writable || error.code === "ECONNRESET" || isAnswered(socket)) return void socket.destroy();
    const [status, message] = describeClientError(error.code);
    const answer: ErrorAnswer = {
      success: false,
      error: { code: "invalid_request", message, retryable: false, traceId: "none" },
    };
    const body = JSON.stringify(answer);
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  },
});

/** True if an answer has begun. Anything written now would become a part of that answer. */
const isAnswered = (socket: Socket): boolean =>
  (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage?.headersSent === true;

function describeClientError(code: string): [number, string] {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return [408, "The request took too long to arrive."];
  if (code === "HPE_HEADER_OVERFLOW") return [431, "The headers are too large."];
  return [400, "The request is not valid HTTP."];
}
