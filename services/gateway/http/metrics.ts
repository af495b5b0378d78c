// GET /metrics: metrics of this gateway's requests and of the whole fleet.
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
      throw new GreenroomError("not_found", "Metrics are disabled (GREENROOM_METRICS).");
    }
    if (allowed === "loopback" && !isFromHere(request)) {
      throw new GreenroomError(
        "forbidden",
        "Only programs on the gateway's machine may read metrics. Set GREENROOM_METRICS=all for all clients, or serve metrics on GREENROOM_METRICS_PORT and GREENROOM_METRICS_BIND.",
      );
    }
    return reply.type(metrics.contentType).send(await metrics.text());
  });
}

const FORWARDED = ["forwarded", "x-forwarded-for", "x-real-ip"];

/** False for requests of a local proxy, which also come from loopback but have a forwarding header. */
export function isFromHere({ ip, headers }: Pick<FastifyRequest, "ip" | "headers">): boolean {
  const isLoopback = /^(::ffff:)?127\./.test(ip) || ip === "::1";
  return isLoopback && FORWARDED.every((name) => headers[name] === undefined);
}

/** Measures each request by the pattern of its route, not by its URL, which may contain ids. */
export function measureRequests(app: FastifyInstance, metrics: Metrics | undefined): void {
  if (metrics === undefined) return;
  const took = metrics.histogram(
    "greenroom_http_request_seconds",
    "Duration of requests in seconds, of event streams and WebSockets until they are closed.",
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

/** Known methods. A client may send any word as a method, which would become a label. */
const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]);
