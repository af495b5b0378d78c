// The port on which a process that is no gateway answers GET /metrics and GET /health.
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface RoleHealth {
  readonly status: "starting" | "running" | "failed" | "stopped";
  /** How often the role was started again after a failure. */
  readonly restarts: number;
  /** The last failure, or what is wrong although the role runs. */
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
 * Serves until the process ends. A port that can't be listened on is logged and no more: it must not keep a process
 * from its work, and Prometheus reports it.
 *
 * @returns the server's address, or undefined when it could not listen
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
        "GREENROOM_METRICS_PORT can't be listened on; this process serves no metrics and no health",
      );
      resolve(undefined);
    });
    server.listen(port, bind, () => {
      const { port: real } = server.address() as AddressInfo;
      const url = `http://${bind.includes(":") ? `[${bind}]` : bind}:${real}`;
      log.info({ url: `${url}/metrics` }, "metrics are served");
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
      return send(404, "text/plain", "There is only GET /metrics and GET /health here.\n");
    return metrics.text().then(
      (text) => send(200, metrics.contentType, text),
      (error: unknown) => {
        log.warn({ error }, "failed to collect the metrics");
        send(500, "text/plain", "Failed to collect the metrics; see the log.\n");
      },
    );
  };
}

/** A process without NATS can do nothing. One with a failed role does the rest of its work. */
function healthAnswer({ isConnected, roles }: ProcessHealth) {
  const isWhole = Object.values(roles).every(({ status }) => status === "running");
  return {
    status: !isConnected ? "failed" : isWhole ? "running" : "degraded",
    nats: isConnected ? "connected" : "away",
    roles,
  };
}
