// Configuration and readiness of a local nats-server.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { freePort } from "./ports.ts";

export interface NatsLayout {
  readonly dir: string;
  readonly port: number;
  readonly monitorPort: number;
  /** How long acknowledged messages may stay unsynced, for example "1s". "always" syncs each message. */
  readonly syncInterval: string;
  /** Absent for a single server. */
  readonly cluster?: ClusterSeat;
  /** Additional top-level lines of the configuration. */
  readonly extra?: string;
}

/** A node's place in a cluster. JetStream identifies a node and its data by the node's name. */
interface ClusterSeat {
  readonly nodeName: string;
  readonly clusterName: string;
  /** Where the other nodes connect to this one. */
  readonly routePort: number;
  /** The route addresses of all nodes. A node's own address among them is harmless. */
  readonly routes: readonly string[];
  /** Does not advertise other nodes to clients, so that clients use the configured addresses only. */
  readonly isSecretive?: boolean;
}

/** Exceeds the sum of all streams' and buckets' limits, which JetStream reserves when they are created. */
export const MAX_FILE_STORE_BYTES = 16 * 1024 ** 3;

/**
 * Durations are quoted: nats-server misreads an unquoted `sync_interval: 2m` with only a warning. With short pings, it
 * detects a dead client within seconds instead of minutes.
 */
export const natsConfigText = (layout: NatsLayout): string => `# Written by Greenroom at each start.
server_name: ${layout.cluster?.nodeName ?? "greenroom"}
listen: "127.0.0.1:${layout.port}"
http: "127.0.0.1:${layout.monitorPort}"
pid_file: ${JSON.stringify(join(layout.dir, "nats.pid"))}
max_payload: 1MB
ping_interval: "10s"
ping_max: 2
write_deadline: "5s"
jetstream {
  store_dir: ${JSON.stringify(join(layout.dir, "jetstream"))}
  max_file_store: ${MAX_FILE_STORE_BYTES}
  max_memory_store: 256MB
  sync_interval: ${layout.syncInterval === "always" ? "always" : JSON.stringify(layout.syncInterval)}
}
${layout.cluster === undefined ? "" : clusterText(layout.cluster)}${layout.extra ?? ""}`;

/** Routes use loopback like clients, so that no other NATS joins by accident. */
const clusterText = (seat: ClusterSeat): string => `cluster {
  name: ${seat.clusterName}
  listen: "127.0.0.1:${seat.routePort}"
  routes: ${JSON.stringify(seat.routes)}${seat.isSecretive === true ? "\n  no_advertise: true" : ""}
}
`;

/** Writes the configuration into the directory. @returns its path */
export async function writeNatsConfig(
  layout: Omit<NatsLayout, "monitorPort"> & { monitorPort?: number },
): Promise<{ file: string; monitorUrl: string }> {
  await mkdir(layout.dir, { recursive: true });
  const monitorPort = layout.monitorPort ?? (await freePort());
  const file = join(layout.dir, "nats.conf");
  await writeFile(file, natsConfigText({ ...layout, monitorPort }));
  return { file, monitorUrl: `http://127.0.0.1:${monitorPort}` };
}

/** Whether nats-server accepts clients and JetStream is running. */
export async function isNatsReady(monitorUrl: string): Promise<boolean> {
  return await answersOk(`${monitorUrl}/healthz?js-enabled-only=true`);
}

/** A node's view of the meta group, which places streams: its leader, and its members as the leader sees them. */
const MetaGroup = z.object({
  meta_cluster: z.object({
    leader: z.string().optional(),
    cluster_size: z.number(),
    replicas: z.array(z.object({ name: z.string(), offline: z.boolean().optional() })).optional(),
  }),
});

/**
 * Whether a cluster of these nodes can create streams: all agree on a leader, and the leader sees all nodes. Earlier,
 * NATS rejects a new stream with "no suitable peers".
 */
export async function isClusterFormed(monitorUrls: readonly string[]): Promise<boolean> {
  const views = await Promise.all(monitorUrls.map((url) => metaGroupOf(url)));
  const leaders = new Set(views.map((view) => view?.leader || undefined));
  if (leaders.size !== 1 || leaders.has(undefined)) return false;
  return views.some((view) => {
    const others = view?.replicas?.filter(({ offline }) => offline !== true) ?? [];
    return others.length === monitorUrls.length - 1;
  });
}

async function metaGroupOf(monitorUrl: string) {
  try {
    const response = await fetch(`${monitorUrl}/jsz`, { signal: AbortSignal.timeout(1000) });
    return MetaGroup.parse(await response.json()).meta_cluster;
  } catch {
    return undefined;
  }
}

/** Whether a GET succeeds within a second. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
