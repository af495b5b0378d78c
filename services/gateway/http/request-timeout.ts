// Limits the time in which a request must arrive, against clients that send a byte a minute.
import type { FastifyInstance } from "fastify";

/**
 * The maximum for all requests. A bulk request is read as fast as its tasks can be stored, so it takes longer than
 * others, which have their own limit below.
 */
export const MAX_REQUEST_TIME_MS = 10 * 60_000;

const READ_AS_THEY_ARE_STORED: readonly string[] = ["/api/tasks/bulk"];

/** Answers a request whose body is incomplete after the limit with Node's own error, and closes it. */
export function limitRequestTime(app: FastifyInstance, limitMs: number): void {
  app.addHook("onRequest", (request, reply, done) => {
    done();
    const { headers, routeOptions, raw } = request;
    const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
    if (!hasBody || READ_AS_THEY_ARE_STORED.includes(routeOptions.url ?? "")) return;
    const timer = setTimeout(() => {
      if (raw.complete || raw.destroyed) return;
      const error = Object.assign(new Error("Request timeout"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
      app.server.emit("clientError", error, raw.socket);
    }, limitMs);
    reply.raw.once("close", () => clearTimeout(timer));
  });
}
