// Builds the gateway's HTTP server: its guards and its route table.
import { randomBytes } from "node:crypto";
import rateLimit from "@fastify/rate-limit";
import websocket from "@fastify/websocket";
import fastify, { type FastifyInstance } from "fastify";
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { createServiceJwts } from "../../libs/auth/service-jwt.ts";
import type { Stop } from "../../libs/bus/bus.ts";
import { GreenroomError } from "../../libs/contracts/errors.ts";
import { exportCallsRoute } from "./calls/export-calls.ts";
import { kpisRoute } from "./calls/kpis.ts";
import { listCallsRoutes } from "./calls/list-calls.ts";
import { claimRoutes } from "./claims/claim-routes.ts";
import { runnerReportRoutes } from "./claims/runner-reports.ts";
import type { Gateway, GatewayDeps } from "./context.ts";
import { deadLettersRoute } from "./fleet/dead-letters.ts";
import { drainHostRoutes } from "./fleet/drain-host.ts";
import { healthRoutes } from "./fleet/health.ts";
import { hostsRoute } from "./fleet/hosts.ts";
import { poolRoutes } from "./fleet/pools.ts";
import { type ServiceWatch, watchServices } from "./fleet/service-watch.ts";
import { handleClientErrors } from "./http/client-errors.ts";
import { allowOrigins } from "./http/cors-origins.ts";
import { sendError } from "./http/errors.ts";
import { measureRequests, metricsRoute } from "./http/metrics.ts";
import { handleNotFound } from "./http/not-found.ts";
import { describeApi, openApiRoute } from "./http/openapi.ts";
import { guardBrowsers, servePage } from "./http/page.ts";
import {
  guardRequests,
  limitRequestTime,
  MAX_REQUEST_TIME_MS,
  metadataBodyLimit,
} from "./http/request-guards.ts";
import type { Routes } from "./http/routes.ts";
import { watchStoreHealth } from "./http/store-health.ts";
import { createStreamLimits } from "./http/stream-limits.ts";
import { deleteDataRoutes } from "./privacy/delete-data.ts";
import { endSessionRoute } from "./sessions/end-session.ts";
import { getSessionRoute } from "./sessions/get-session.ts";
import { listSessionsRoute } from "./sessions/list-sessions.ts";
import { livekitTokenRoute } from "./sessions/livekit-token.ts";
import { livekitWebhookRoute } from "./sessions/livekit-webhook.ts";
import { createLoadMonitor } from "./sessions/load-monitor.ts";
import { sessionEventsRoute } from "./sessions/session-events.ts";
import { sessionLogsRoute } from "./sessions/session-logs.ts";
import { sessionSocketRoute } from "./sessions/session-socket.ts";
import { createSubscriptions } from "./sessions/session-subscriptions.ts";
import { startSessionRoute } from "./sessions/start-session.ts";
import { measureStarts } from "./sessions/start-times.ts";
import { sweepRooms } from "./sessions/sweep-rooms.ts";
import { tokenRoute } from "./sessions/tokens.ts";
import { taskRoutes } from "./tasks/task-routes.ts";
import { deliveryRoutes } from "./webhooks/deliveries.ts";
import { endpointRoutes } from "./webhooks/endpoints.ts";

/** Longer than the longest `wait` of a start, 30 s, in which nothing moves on the connection. */
const LONGEST_ANSWER_MS = 45_000;

/**
 * Builds the server without listening: use `listen` to start it, or `inject` to test it.
 *
 * `close` refuses new requests, ends open streams with a reason, and lets present requests finish. It stops what the
 * gateway started, but not the bus and the views, which belong to the caller.
 */
export function buildGateway(deps: GatewayDeps): FastifyInstance {
  const app = fastify({
    bodyLimit: deps.config.GREENROOM_BODY_LIMIT_BYTES,
    // guardRequests answers 503 in the shape of all errors.
    return503OnClosing: false,
    // Maximum time for any request to arrive. Most have less: see limitRequestTime.
    requestTimeout: MAX_REQUEST_TIME_MS,
    http: {
      // Node limits the time of bodies only if the timeout of headers is shorter.
      headersTimeout: Math.min(10_000, deps.config.GREENROOM_REQUEST_TIMEOUT_MS / 2),
      connectionsCheckingInterval: Math.min(5000, deps.config.GREENROOM_REQUEST_TIMEOUT_MS),
    },
    // Closes a connection on which nothing moves: the client has left or does not read. Streams ping more often.
    connectionTimeout: Math.max(deps.config.GREENROOM_SLOW_CLIENT_TIMEOUT_MS, LONGEST_ANSWER_MS),
    routerOptions: { maxParamLength: 256 },
    genReqId: ({ headers }) => traceIdOf(headers["x-request-id"]),
    ...handleClientErrors(deps.log),
  }).withTypeProvider<ZodTypeProvider>();
  const gateway = createContext(deps);
  app.server.maxConnections = deps.config.GREENROOM_CONNECTIONS_MAX;
  let isStopping = false;
  let services: ServiceWatch | undefined;
  let stopMeasuring: Stop | undefined;
  let stopSweeping = () => {};

  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, request, reply) => {
    gateway.storeHealth.notice(error);
    return sendError(error, request, reply, deps.log);
  });
  handleNotFound(app);
  guardRequests(app, () => isStopping);
  limitRequestTime(app, deps.config.GREENROOM_REQUEST_TIMEOUT_MS);
  guardTraffic(app, deps);
  describeApi(app);
  measureRequests(app, deps.metrics);
  app.register(async (scope: Routes) => {
    addRoutes(scope, gateway, () => services as ServiceWatch);
  });

  app.addHook("onReady", async () => {
    services = await watchServices(gateway);
    stopMeasuring = await gateway.load.watch();
    stopSweeping = sweepRooms(gateway);
  });
  app.addHook("preClose", async () => {
    isStopping = true;
    stopSweeping();
    gateway.streams.closeAll();
    gateway.subscriptions.stop();
  });
  app.addHook("onClose", async () => {
    await stopMeasuring?.();
    await services?.stop();
  });
  return app as unknown as FastifyInstance;
}

function addRoutes(app: Routes, gateway: Gateway, services: () => ServiceWatch): void {
  startSessionRoute(app, gateway); //   POST /api/session/start
  getSessionRoute(app, gateway); //     GET  /api/session/:id
  listSessionsRoute(app, gateway); //   GET  /api/sessions
  endSessionRoute(app, gateway); //     POST /api/session/:id/end
  sessionLogsRoute(app, gateway); //    GET  /api/session/:id/logs
  sessionEventsRoute(app, gateway); //  GET  /api/session/:id/events
  sessionSocketRoute(app, gateway); //  GET  /api/session/ws
  tokenRoute(app, gateway); //          POST /api/token
  livekitTokenRoute(app, gateway); //   POST /api/livekit/token
  livekitWebhookRoute(app, gateway); //        POST /api/livekit/webhook
  healthRoutes(app, gateway, services); // GET /api/health /livez /readyz
  poolRoutes(app, gateway); //          GET  /api/pools, POST /api/pool/resize, /api/pools/:profile/canary
  hostsRoute(app, gateway); //          GET  /api/hosts
  drainHostRoutes(app, gateway); //     POST, DELETE /api/hosts/:id/drain
  deadLettersRoute(app, gateway); //    GET  /api/dead-letters
  claimRoutes(app, gateway); //      GET  /api/claims/:id, POST …/claim
  runnerReportRoutes(app, gateway); // POST /api/claims/:id/joined, ready, ended
  listCallsRoutes(app, gateway); //      GET  /api/calls, /api/calls/:sessionId
  exportCallsRoute(app, gateway); //     GET  /api/calls/export
  kpisRoute(app, gateway); //            GET  /api/kpis
  endpointRoutes(app, gateway); //    GET, POST /api/webhooks, GET, DELETE …/:id, POST …/:id/enable
  deliveryRoutes(app, gateway); // GET /api/webhooks/:id/deliveries, POST …/:id/replay
  taskRoutes(app, gateway); //          POST, GET /api/tasks, /bulk, GET /:id, POST /:id/cancel /:id/retry
  deleteDataRoutes(app, gateway); //    DELETE /api/tenants/:t/data, …/users/:id/data, GET /api/deletion-jobs
  metricsRoute(app, gateway); //        GET  /metrics
  openApiRoute(app); //                 GET  /openapi.json
  servePage(app); //                    GET  / /docs /vendor/…
}

function guardTraffic(app: Routes, deps: GatewayDeps): void {
  const { config, livekit, log } = deps;
  guardBrowsers(app, livekit);
  allowOrigins(app, config.GREENROOM_CORS_ORIGIN, log);
  app.register(websocket, {
    options: { maxPayload: metadataBodyLimit(deps) },
    // The gateway's own preClose has already ended each stream with a reason.
    preClose: (done) => done(),
  });
  if (config.GREENROOM_RATE_LIMIT === 0) return;
  app.register(rateLimit, {
    max: config.GREENROOM_RATE_LIMIT,
    timeWindow: 60_000,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new GreenroomError("rate_limited", `Your address sent more than ${max} requests in a minute.`, {
        retryAfterMs: ttl,
      }),
  });
}

/** The context of the routes: the dependencies, and the gateway's own state. */
export function createContext(deps: GatewayDeps): Gateway {
  const tenant = deps.config.GREENROOM_TENANT;
  return {
    ...deps,
    tenant,
    subscriptions: createSubscriptions(deps.sessions, deps.clock, tenant),
    startTimes: measureStarts(deps.sessions),
    accepted: new Map(),
    load: createLoadMonitor(deps),
    storeHealth: watchStoreHealth(deps),
    serviceJwts: createServiceJwts(deps.config),
    streams: createStreamLimits({
      max: deps.config.GREENROOM_STREAMS_MAX,
      maxPerClient: deps.config.GREENROOM_STREAMS_PER_CLIENT,
    }),
  };
}

/** The caller's id if it is safe in a log line and a header, otherwise a new id. */
function traceIdOf(given: string | string[] | undefined): string {
  return typeof given === "string" && /^[A-Za-z0-9_.-]{1,64}$/.test(given)
    ? given
    : randomBytes(8).toString("hex");
}
