// What a process measures of itself, for Prometheus.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Log } from "./log.ts";

type Labels = Readonly<Record<string, string | number>>;

/** Names of metrics begin with greenroom_, but for LiveKit's own where they mean the same. Each is made once. */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): (labels?: Labels, by?: number) => void;
  /** @param seconds upper bounds of the buckets */
  histogram(
    name: string,
    help: string,
    labels?: readonly string[],
    seconds?: readonly number[],
  ): (seconds: number, labels?: Labels) => void;
  /** @param collect says all values anew whenever somebody asks; what it doesn't say is gone */
  gauge(
    name: string,
    help: string,
    labels: readonly string[],
    collect: (set: (value: number, labels?: Labels) => void) => void | Promise<void>,
  ): void;
  /** Everything in Prometheus's text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Label values that customers choose; of each the first so many are told apart, the rest is "other". */
const CAPPED: Readonly<Record<string, number>> = { profile: 50, tenant: 50 };

/** From a hot agent's few milliseconds to what a telephone call may take. */
const DEFAULT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(service: string): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const within = capped();
  new Gauge({
    name: "greenroom_up",
    help: "1 for each process that runs, by its service.",
    labelNames: ["service"],
    registers: [register],
  }).set({ service }, 1);
  return {
    counter(name, help, labels = []) {
      const counter = new Counter({ name, help, labelNames: [...labels], registers: [register] });
      return (values = {}, by = 1) => counter.inc(within(values), by);
    },
    histogram(name, help, labels = [], seconds = DEFAULT_SECONDS) {
      const buckets = [...seconds];
      const histogram = new Histogram({
        name,
        help,
        labelNames: [...labels],
        buckets,
        registers: [register],
      });
      return (value, values = {}) => histogram.observe(within(values), value);
    },
    gauge(name, help, labels, collect) {
      new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers: [register],
        async collect() {
          this.reset();
          // Two that are "other" are added up.
          await collect((value, values = {}) => this.inc(within(values), value));
        },
      });
    },
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

/** Keeps the number of time series bounded, whatever names customers give. */
function capped(): (labels: Labels) => Record<string, string | number> {
  const known = new Map<string, Set<string>>();
  const one = (label: string, value: string): string => {
    const max = CAPPED[label];
    if (max === undefined) return value;
    const seen = known.get(label) ?? new Set<string>();
    known.set(label, seen);
    if (seen.size < max) seen.add(value);
    return seen.has(value) ? value : "other";
  };
  return (labels) =>
    Object.fromEntries(Object.entries(labels).map(([label, value]) => [label, one(label, String(value))]));
}

/**
 * Serves /metrics until the process ends. A port that can't be had is logged and no more: what is measured must not
 * keep a process from its work, and Prometheus says that it can't reach it.
 *
 * @returns where, undefined for nowhere
 */
export async function serveMetrics(
  metrics: Metrics,
  { port, bind }: { readonly port: number; readonly bind: string },
  log: Log,
): Promise<string | undefined> {
  const server = createServer((request, response) => {
    const isAsked = request.method === "GET" && request.url?.split("?")[0] === "/metrics";
    if (!isAsked) {
      response.writeHead(404, { "content-type": "text/plain" }).end("There is only GET /metrics here.\n");
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { "content-type": metrics.contentType }).end(text),
      (error: unknown) => {
        log.warn({ error }, "the metrics could not be told");
        response.writeHead(500, { "content-type": "text/plain" }).end("The log says why.\n");
      },
    );
  });
  // Nobody waits for it at the end.
  server.unref();
  return await new Promise((resolve) => {
    server.once("error", (error) => {
      log.error(
        { error, port },
        "GREENROOM_METRICS_PORT can't be listened on; there are no metrics of this process",
      );
      resolve(undefined);
    });
    server.listen(port, bind, () => {
      const { port: real } = server.address() as AddressInfo;
      const url = `http://${bind.includes(":") ? `[${bind}]` : bind}:${real}/metrics`;
      log.info({ url }, "metrics are served");
      resolve(url);
    });
  });
}
