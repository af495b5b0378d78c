// Answers requests without a route: 405 if only the method is wrong, otherwise 404.
import type { FastifyInstance } from "fastify";
import { GreenroomError } from "../../../libs/contracts/errors.ts";

/** Call this before the routes are added, because it collects them. */
export function handleNotFound(app: FastifyInstance): void {
  const routes: { pattern: RegExp; method: string }[] = [];
  app.addHook("onRoute", ({ url, method }) => {
    const pattern = patternOf(url);
    for (const one of [method].flat()) routes.push({ pattern, method: one });
  });
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split("?")[0] ?? "";
    const allowed = [
      ...new Set(routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)),
    ];
    if (allowed.length === 0) {
      throw new GreenroomError(
        "not_found",
        `No route ${path.slice(0, 200)}. See /openapi.json for all routes.`,
      );
    }
    reply.header("Allow", allowed.sort().join(", "));
    throw new GreenroomError(
      "method_not_allowed",
      `${path} supports ${allowed.sort().join(" and ")}, not ${request.method}.`,
    );
  });
}

function patternOf(url: string): RegExp {
  const path = url
    .split("/")
    .map((part) => (part.startsWith(":") ? "[^/]+" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")))
    .join("/");
  return new RegExp(`^${path}$`);
}
