// Checks that apply to every request before its route.
import type { FastifyInstance } from "fastify";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { METADATA_DEPTH_MAX } from "../../../libs/contracts/sessions/session.ts";
import { isDeeperThan } from "../../../libs/contracts/validation.ts";
import type { Gateway } from "../context.ts";

/** Space for LiveKit's largest metadata in two places, each a JSON text inside JSON. */
const METADATA_BODY_BYTES = 2 * 1024 * 1024;

/** The limit of the requests that hold metadata. */
export const metadataBodyLimit = ({ config }: Pick<Gateway, "config">): number =>
  Math.max(config.GREENROOM_BODY_LIMIT_BYTES, METADATA_BODY_BYTES);

export function guardRequests(app: FastifyInstance, isStopping: () => boolean): void {
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser(["application/json", "text/plain"]);
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    // Many clients always send this header. An empty text means no body.
    if (body === "") done(null, undefined);
    else parseJson(request, body as string, done);
  });
  app.addHook("onRequest", async (request, reply) => {
    reply.header("X-Request-Id", request.id);
    if (isStopping() && request.url !== "/livez") {
      throw new GreenroomError(
        "shutting_down",
        "The gateway is stopping. Repeat the request; another gateway answers.",
        {
          retryAfterMs: 1000,
        },
      );
    }
  });
  app.addHook("preValidation", async (request) => {
    // `curl -X POST` without a body means all defaults.
    if (request.method === "POST" && request.body === undefined) request.body = {};
    if (isTooDeep(request.body)) {
      throw new GreenroomError(
        "invalid_request",
        `body: nested too deeply. The maximum is ${METADATA_DEPTH_MAX} levels.`,
      );
    }
  });
}

export const isTooDeep = (value: unknown): boolean => isDeeperThan(METADATA_DEPTH_MAX, value);

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
