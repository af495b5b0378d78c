// Checks that apply to every request before its route.
import type { FastifyInstance } from "fastify";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { isDeeperThan } from "../../../libs/contracts/validation.ts";

/** Deeper than any sensible metadata, and far below the depth at which a recursive check overflows the stack. */
const MAX_DEPTH = 32;

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
        `body: nested too deeply. The maximum is ${MAX_DEPTH} levels.`,
      );
    }
  });
}

export const isTooDeep = (value: unknown): boolean => isDeeperThan(MAX_DEPTH, value);
