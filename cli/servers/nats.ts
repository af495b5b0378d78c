// nats-server as a child process: its configuration, and when it is ready.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { freePort } from "./ports.ts";

export interface NatsLayout {
  readonly dir: string;
  readonly port: number;
  readonly monitorPort: number;
  /** How long acknowledged messages may wait for the disk, as "1s"; "always" waits for it each time. */
  readonly syncInterval: string;
  /** Absent for a server that is alone. */
  readonly cluster?: ClusterSeat;
  /** More lines of configuration, at its top level. */
  readonly extra?: string;
}

/** One node's place in a cluster: JetStream knows a node by its name, and its data goes with that. */
interface ClusterSeat {
  readonly nodeName: string;
  readonly clusterName: string;
  /** Where the other nodes reach this one. */
  readonly routePort: number;
  /** The addresses of all nodes' routes; a node's own among them does no harm. */
  readonly routes: readonly string[];
  /** Tells clients of no other nodes, since they are to reach each by an address of their own. */
  readonly isSecretive?: boolean;
}

/** Over the sum of every stream's and bucket's limit: JetStream reserves those when they are made. */
export const MAX_FILE_STORE_BYTES = 16 * 1024 ** 3;

/**
 * Durations are quoted: nats-server takes `sync_interval: 2m` without quotes as something else and only warns.
 * The short pings make it notice a dead client in seconds instead of minutes.
 */
export const natsConfigText = (layout: NatsLayout): string => `# Written by Greenroom at each start.
server_name: ${layout.cluster?.nodeName ?? "greenroom"}
listen: "127.0.0.1:${layout.port}"
http: "127.0.0.1:${layout.monitorPort}"
pid_file: ${JSON.stringify(join(layout.dir, "nats.pid"))}
max_payload: 256KB
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

/** Routes go over loopback as the clients do: nobody else's NATS joins by chance. */
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

/** Whether nats-server takes clients and JetStream is up. */
export async function isNatsReady(monitorUrl: string): Promise<boolean> {
  return await answersOk(`${monitorUrl}/healthz?js-enabled-only=true`);
}

/** What a node says of the group that places streams: its leader, and who belongs to it as the leader sees it. */
const MetaGroup = z.object({
  meta_cluster: z.object({
    leader: z.string().optional(),
    cluster_size: z.number(),
    replicas: z.array(z.object({ name: z.string(), offline: z.boolean().optional() })).optional(),
  }),
});

/**
 * Whether a cluster of so many nodes can be given streams: they agree on a leader, and it knows all of them.
 * Before that a new stream is refused, since there are "no suitable peers".
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

/** Whether a GET is answered with success within a second. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
