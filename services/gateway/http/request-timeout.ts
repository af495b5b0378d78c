// How long a request may take to arrive: against clients that send a byte a minute.
import type { FastifyInstance } from "fastify";

/**
 * The longest for any: a bulk is read as fast as it can be stored, so that a whole one takes its time. All others
 * are held to their own limit below.
 */
export const MAX_REQUEST_TIME_MS = 10 * 60_000;

const READ_AS_THEY_ARE_STORED: readonly string[] = ["/api/tasks/bulk"];

/** Tells requests whose body isn't whole by then what they would be told by Node, and cuts them. */
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
