// Uses the configured NATS, or starts a local server or cluster.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { spawnGuarded } from "../supervisor/guard.ts";
import { StartError } from "../supervisor/start-error.ts";
import { findBinary } from "./binaries.ts";
import { natsServer } from "./binary-specs.ts";
import { isClusterFormed, isNatsReady, writeNatsConfig } from "./nats.ts";
import { freePort, isPortFree } from "./ports.ts";
import { choosePort, LOOPBACK, running, type ServerDeps } from "./server-child.ts";

const STOP_MS = 10_000;
const FORMED_MS = 60_000;
const CLUSTER_NAME = "greenroom";
/** Distance of the route ports from the client ports. NATS uses the same distance in its examples. */
const ROUTES_ABOVE = 2000;

export interface NatsPlan {
  /** 1, or the number of nodes in a cluster. */
  readonly nodes: number;
  /** Preferred port of the first node. The others use the next ones. */
  readonly port: number;
}

interface Seat {
  /** Undefined for a single server. */
  readonly instance: string | undefined;
  readonly dir: string;
  readonly port: number;
  readonly routePort: number;
}

export interface StartedNats {
  /** The settings by which services connect. */
  readonly settings: Record<string, string>;
  /** Rejects with a StartError if NATS does not start. */
  readonly running: Promise<void>;
}

/**
 * Returns before NATS is running, because services load in the meantime.
 *
 * @throws StartError for settings that don't fit together
 */
export async function startNats(deps: ServerDeps, plan: NatsPlan): Promise<StartedNats> {
  const { config, env, dataDir, log } = deps;
  if (config.NATS_URL !== undefined) {
    log.info({ url: config.NATS_URL }, "using the configured NATS");
    return { settings: { NATS_URL: config.NATS_URL }, running: Promise.resolve() };
  }
  assertReplicas(config.GREENROOM_REPLICAS, plan.nodes);
  assertOwnData(dataDir, plan.nodes);
  const binary = await findBinary(natsServer, { env, report: (line) => log.info(line) });
  const seats: Seat[] = [];
  for (let index = 0; index < plan.nodes; index++) seats.push(await seatOf(index, deps, plan, seats));
  const url = seats.map(({ port }) => `nats://${LOOPBACK}:${port}`).join(",");
  const start = async () => {
    const monitorUrls = await Promise.all(seats.map((seat) => startNode(deps, binary, seat, seats)));
    if (seats.length > 1) await waitUntilFormed(monitorUrls, deps);
    log.info({ url, monitorUrls }, seats.length > 1 ? "the NATS cluster is running" : "NATS is running");
  };
  const running = start();
  // The caller may be asked to stop before it looks.
  running.catch(() => {});
  return { settings: { NATS_URL: url }, running };
}

function assertReplicas(replicas: number, nodes: number): void {
  if (replicas <= nodes) return;
  throw new StartError(
    `GREENROOM_REPLICAS is ${replicas}, but ${nodes === 1 ? "npm start runs one NATS server" : `this cluster has ${nodes} nodes`}. ` +
      "Lower it, use npm run start:cluster for 3 nodes, or set NATS_URL to a larger cluster.",
  );
}

const natsDir = (dataDir: string, instance: string | undefined) => join(dataDir, instance ?? "nats");
const hasData = (dir: string): boolean => existsSync(join(dir, "jetstream"));

/** A cluster can't use a single server's data, or vice versa. Starting anyway would begin with empty streams. */
function assertOwnData(dataDir: string, nodes: number): void {
  const isCluster = nodes > 1;
  if (!hasData(natsDir(dataDir, isCluster ? undefined : "nats-1"))) return;
  const [theirs, ours] = isCluster
    ? ["a single NATS (npm start)", "a cluster"]
    : ["a NATS cluster (npm run start:cluster)", "a single NATS"];
  throw new StartError(
    `${dataDir} contains the data of ${theirs}, which ${ours} can't use. Nothing was started or ` +
      "changed. Set GREENROOM_DATA_DIR to another directory, or unset it to use each command's own directory.",
  );
}

async function seatOf(
  index: number,
  { config, dataDir, log }: ServerDeps,
  plan: NatsPlan,
  taken: readonly Seat[],
): Promise<Seat> {
  const instance = plan.nodes === 1 ? undefined : `nats-${index + 1}`;
  const used = new Set(taken.flatMap(({ port, routePort }) => [port, routePort]));
  const unused = async (wanted: number): Promise<number> => {
    let port = wanted;
    while (used.has(port)) port = await freePort();
    used.add(port);
    return port;
  };
  const first = config.GREENROOM_NATS_PORT;
  const wanted = first === undefined || first === 0 ? first : first + index;
  const port = await unused(await choosePort({ what: "NATS", wanted, preferred: plan.port + index }, log));
  const route = (wanted || plan.port + index) + ROUTES_ABOVE;
  const routePort = await unused((await isPortFree(route, LOOPBACK)) ? route : await freePort());
  return { instance, dir: natsDir(dataDir, instance), port, routePort };
}

/** @returns the node's monitoring address */
async function startNode(
  { config, supervisor }: ServerDeps,
  binary: string,
  { instance, dir, port, routePort }: Seat,
  seats: readonly Seat[],
): Promise<string> {
  const routes = seats.map((seat) => `nats://${LOOPBACK}:${seat.routePort}`);
  const { file, monitorUrl } = await writeNatsConfig({
    dir,
    port,
    syncInterval: config.GREENROOM_NATS_SYNC,
    ...(instance === undefined
      ? {}
      : { cluster: { nodeName: instance, clusterName: CLUSTER_NAME, routePort, routes } }),
  });
  const child = supervisor.start({
    name: "nats",
    ...(instance === undefined ? {} : { instance }),
    start: () => spawnGuarded(binary, ["-c", file]),
    isReady: () => isNatsReady(monitorUrl),
    stopMs: STOP_MS,
  });
  await running(child, instance ?? "nats-server");
  return monitorUrl;
}

async function waitUntilFormed(
  monitorUrls: readonly string[],
  { log, isStopping }: ServerDeps,
): Promise<void> {
  const deadline = performance.now() + FORMED_MS;
  for (let tries = 1; !isStopping(); tries++) {
    if (await isClusterFormed(monitorUrls)) return;
    if (performance.now() > deadline) {
      throw new StartError(
        `The NATS servers did not elect a leader within ${FORMED_MS / 1000} s. Their log lines contain the reason ` +
          "(GREENROOM_LOG_LEVEL=debug shows all lines).",
      );
    }
    if (tries % 50 === 0) log.info("waiting for the NATS servers to elect a leader");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
