// GET /metrics: what this gateway measures of its requests, and what it sees of the whole fleet.
import type { FastifyInstance, FastifyRequest } from "fastify";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import { measureFleet } from "../../../libs/fleet/fleet-metrics.ts";
import type { Metrics } from "../../../libs/runtime/metrics.ts";
import type { Gateway } from "../context.ts";
import type { Routes } from "./routes.ts";

export function metricsRoute(app: Routes, gateway: Gateway): void {
  const { metrics, config } = gateway;
  if (metrics !== undefined) measureFleet(metrics, gateway);
  app.get("/metrics", { config: { rateLimit: false }, schema: { hide: true } }, async (request, reply) => {
    const allowed = config.GREENROOM_METRICS;
    if (allowed === "off" || metrics === undefined) {
      throw new GreenroomError("not_found", "There are no metrics here (GREENROOM_METRICS).");
    }
    if (allowed === "loopback" && !isFromHere(request)) {
      throw new GreenroomError(
        "forbidden",
        "Metrics are for programs on the gateway's own machine. GREENROOM_METRICS=all opens them to all who reach it; GREENROOM_METRICS_PORT and GREENROOM_METRICS_BIND serve them elsewhere.",
      );
    }
    return reply.type(metrics.contentType).send(await metrics.text());
  });
}

const FORWARDED = ["forwarded", "x-forwarded-for", "x-real-ip"];

/** What a proxy on this machine passes on comes from loopback too, and says so. */
export function isFromHere({ ip, headers }: Pick<FastifyRequest, "ip" | "headers">): boolean {
  const isLoopback = /^(::ffff:)?127\./.test(ip) || ip === "::1";
  return isLoopback && FORWARDED.every((name) => headers[name] === undefined);
}

/** Each answered request by its route's pattern, never by its address. */
export function measureRequests(app: FastifyInstance, metrics: Metrics | undefined): void {
  if (metrics === undefined) return;
  const took = metrics.histogram(
    "greenroom_http_request_seconds",
    "How long requests took to be answered; event streams and WebSockets until they were closed.",
    ["method", "route", "status"],
  );
  app.addHook("onResponse", async ({ method, routeOptions }, reply) => {
    const route = routeOptions.url ?? "none";
    took(reply.elapsedTime / 1000, {
      method: METHODS.has(method) ? method : "other",
      route,
      status: reply.statusCode,
    });
  });
}

/** Of which there are few; somebody may ask by any word. */
const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]);
