// Serves GET /metrics and GET /health of a process that is not a gateway.
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface RoleHealth {
  readonly status: "starting" | "running" | "failed" | "stopped";
  /** How often the role was restarted after a failure. */
  readonly restarts: number;
  /** The last failure, or why the running role is degraded. */
  readonly reason?: string;
}

export interface ProcessHealth {
  readonly isConnected: boolean;
  readonly roles: Readonly<Record<string, RoleHealth>>;
}

export interface StatusServerOptions {
  readonly port: number;
  readonly bind: string;
  readonly metrics: Metrics;
  readonly health: () => ProcessHealth;
}

/**
 * Serves until the process ends. A port that can't be opened is only logged: metrics must not keep a process from its
 * work, and Prometheus reports the missing target.
 *
 * @returns the server's address, or undefined if the port could not be opened
 */
export async function serveStatus(options: StatusServerOptions, log: Log): Promise<string | undefined> {
  const { port, bind } = options;
  const server = createServer(answerWith(options, log));
  // The process does not wait for this server when it ends.
  server.unref();
  return await new Promise((resolve) => {
    server.once("error", (error) => {
      log.error(
        { error, port },
        "failed to open GREENROOM_METRICS_PORT; this process serves no metrics and no health",
      );
      resolve(undefined);
    });
    server.listen(port, bind, () => {
      const { port: actualPort } = server.address() as AddressInfo;
      const url = `http://${bind.includes(":") ? `[${bind}]` : bind}:${actualPort}`;
      log.info({ url: `${url}/metrics` }, "serving metrics");
      resolve(url);
    });
  });
}

function answerWith({ metrics, health }: StatusServerOptions, log: Log): RequestListener {
  return (request, response) => {
    const send = (status: number, contentType: string, body: string) =>
      response.writeHead(status, { "content-type": contentType }).end(body);
    const path = request.method === "GET" ? request.url?.split("?")[0] : undefined;
    if (path === "/health") {
      const answer = healthAnswer(health());
      return send(answer.status === "failed" ? 503 : 200, "application/json", JSON.stringify(answer));
    }
    if (path !== "/metrics")
      return send(404, "text/plain", "Not found. This server has GET /metrics and GET /health.\n");
    return metrics.text().then(
      (text) => send(200, metrics.contentType, text),
      (error: unknown) => {
        log.warn({ error }, "failed to collect the metrics");
        send(500, "text/plain", "Failed to collect the metrics; see the log.\n");
      },
    );
  };
}

/** A process without NATS can't do anything. A process with one failed role still runs the others. */
function healthAnswer({ isConnected, roles }: ProcessHealth) {
  const isWhole = Object.values(roles).every(({ status }) => status === "running");
  return {
    status: !isConnected ? "failed" : isWhole ? "running" : "degraded",
    nats: isConnected ? "connected" : "away",
    roles,
  };
}
