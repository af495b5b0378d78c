// A cluster of real nats-servers for tests, whose nodes can be killed, paused and restarted one by one.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { natsServer } from "../../../cli/servers/binary-specs.ts";
import { answersOk, isClusterFormed, isNatsReady, writeNatsConfig } from "../../../cli/servers/nats.ts";
import { freePort } from "../../../cli/servers/ports.ts";
import { until } from "../until.ts";
import { binaryOf, ServerProcess } from "./server-process.ts";
import type { TestNats } from "./test-nats.ts";

export interface NatsClusterOptions {
  readonly nodes?: number;
  readonly syncInterval?: string;
  /** More configuration lines of one node; index 0 is the first node. */
  readonly extra?: (index: number) => string;
  /** The data directory of one node; by default a temporary one. */
  readonly dirOf?: (index: number) => string | undefined;
  /** Hides other nodes from clients, so that no client bypasses the proxies in front of the nodes. */
  readonly isSecretive?: boolean;
}

export interface NatsNode extends TestNats {
  /** The server name in JetStream: `n1`, `n2`, … */
  readonly name: string;
  readonly hasEnded: boolean;
  /** Sends SIGSTOP: the node keeps its connections, but answers nothing. */
  pause(): void;
  resume(): void;
  /** True when every stream and consumer on the node has caught up with its leader. */
  isCurrent(): Promise<boolean>;
}

/** A cluster as one TestNats: `url` lists all nodes, and each method acts on all of them. */
export interface NatsCluster extends TestNats {
  readonly nodes: readonly NatsNode[];
  metaLeader(): Promise<NatsNode>;
  /** The leader of a stream; the stream of a bucket is `KV_<name>`. */
  streamLeader(stream: string): Promise<NatsNode>;
  consumerLeader(stream: string, consumer: string): Promise<NatsNode>;
  /** The node to which a client is connected, by the client's name. */
  nodeOf(client: string): Promise<NatsNode>;
  /** Waits until all nodes run, agree on a leader and have caught up. */
  healed(): Promise<void>;
}

const HEALED_MS = 90_000;

export async function startNatsCluster(options: NatsClusterOptions = {}): Promise<NatsCluster> {
  const count = options.nodes ?? 3;
  const root = await mkdtemp(join(tmpdir(), "greenroom-nats-"));
  const routePorts = await Promise.all(Array.from({ length: count }, () => freePort()));
  const routes = routePorts.map((port) => `nats://127.0.0.1:${port}`);
  const nodes: Node[] = [];
  for (const [index, routePort] of routePorts.entries()) {
    const nodeName = `n${index + 1}`;
    const [port, monitorPort] = [await freePort(), await freePort()];
    const layout = {
      dir: options.dirOf?.(index) ?? join(root, nodeName),
      port,
      monitorPort,
      syncInterval: options.syncInterval ?? "1s",
      cluster: {
        nodeName,
        clusterName: "greenroom-test",
        routePort,
        routes,
        isSecretive: options.isSecretive ?? false,
      },
      extra: options.extra?.(index) ?? "",
    };
    nodes.push(new Node(layout));
  }
  const cluster = new Cluster(nodes, root);
  try {
    await Promise.all(nodes.map((node) => node.start()));
    await cluster.healed();
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

type Layout = Parameters<typeof writeNatsConfig>[0] & {
  monitorPort: number;
  cluster: { nodeName: string };
};

class Node implements NatsNode {
  readonly name: string;
  readonly url: string;
  readonly monitorUrl: string;
  readonly #layout: Layout;
  #server: ServerProcess | undefined;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.name = layout.cluster.nodeName;
    this.url = `nats://127.0.0.1:${layout.port}`;
    this.monitorUrl = `http://127.0.0.1:${layout.monitorPort}`;
  }

  async start(): Promise<void> {
    const binary = await binaryOf(natsServer);
    const { file } = await writeNatsConfig(this.#layout);
    this.#server = await ServerProcess.start(`nats-server ${this.name}`, binary, ["-c", file], () =>
      isNatsReady(this.monitorUrl),
    );
  }

  get port(): number {
    return this.#layout.port;
  }

  get dir(): string {
    return this.#layout.dir;
  }

  get pid(): number {
    return this.#server?.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#server?.hasEnded !== false;
  }

  pause(): void {
    this.#server?.signal("SIGSTOP");
  }

  resume(): void {
    this.#server?.signal("SIGCONT");
  }

  isCurrent(): Promise<boolean> {
    return answersOk(`${this.monitorUrl}/healthz`);
  }

  async stop(): Promise<void> {
    await this.#server?.end("SIGTERM");
  }

  async kill9(): Promise<void> {
    await this.#server?.end("SIGKILL");
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}

const Leader = z.object({ leader: z.string().optional() }).optional();
const JetStreamView = z.object({
  meta_cluster: Leader,
  account_details: z
    .array(
      z.object({
        stream_detail: z
          .array(
            z.object({
              name: z.string(),
              cluster: Leader,
              consumer_detail: z.array(z.object({ name: z.string(), cluster: Leader })).nullish(),
            }),
          )
          .nullish(),
      }),
    )
    .nullish(),
});
type JetStreamView = z.infer<typeof JetStreamView>;

class Cluster implements NatsCluster {
  readonly nodes: readonly Node[];
  readonly dir: string;

  constructor(nodes: readonly Node[], dir: string) {
    this.nodes = nodes;
    this.dir = dir;
  }

  get url(): string {
    return this.nodes.map((node) => node.url).join(",");
  }

  get port(): number {
    return this.nodes[0]!.port;
  }

  get replicas(): number {
    return this.nodes.length;
  }

  get monitorUrl(): string {
    return this.nodes[0]!.monitorUrl;
  }

  get pid(): number {
    return this.nodes[0]!.pid;
  }

  metaLeader(): Promise<NatsNode> {
    return this.#leader("the cluster", (view) => view.meta_cluster?.leader);
  }

  streamLeader(stream: string): Promise<NatsNode> {
    return this.#leader(stream, (view) => streamOf(view, stream)?.cluster?.leader);
  }

  consumerLeader(stream: string, consumer: string): Promise<NatsNode> {
    return this.#leader(`${stream} > ${consumer}`, (view) => {
      const found = streamOf(view, stream)?.consumer_detail?.find(({ name }) => name === consumer);
      return found?.cluster?.leader;
    });
  }

  async nodeOf(client: string): Promise<NatsNode> {
    const look = async () => {
      for (const node of this.nodes.filter(({ hasEnded }) => !hasEnded)) {
        const list = await getJson(`${node.monitorUrl}/connz?limit=10000`);
        const found = Clients.safeParse(list).data?.connections.some(({ name }) => name === client);
        if (found === true) return node;
      }
      return undefined;
    };
    return await until(look, { timeoutMs: HEALED_MS, everyMs: 50, what: `${client} is connected` });
  }

  async healed(): Promise<void> {
    const isHealed = async () => {
      if (this.nodes.some((node) => node.hasEnded)) return false;
      const current = await Promise.all(this.nodes.map((node) => node.isCurrent()));
      return current.every(Boolean) && (await isClusterFormed(this.nodes.map((node) => node.monitorUrl)));
    };
    await until(isHealed, { timeoutMs: HEALED_MS, everyMs: 100, what: "the NATS cluster is whole" });
  }

  async kill9(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill9()));
  }

  async restart(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await Promise.all(this.nodes.map((node) => node.start()));
    await this.healed();
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Returns a node that names itself as the leader, because only the leader's own view is reliable. */
  async #leader(what: string, leaderIn: (view: JetStreamView) => string | undefined): Promise<NatsNode> {
    const look = async () => {
      for (const node of this.nodes) {
        const view = node.hasEnded ? undefined : await viewOf(node);
        if (view !== undefined && leaderIn(view) === node.name) return node;
      }
      return undefined;
    };
    return await until(look, { timeoutMs: HEALED_MS, everyMs: 50, what: `${what} has a leader` });
  }
}

const Clients = z.object({ connections: z.array(z.object({ name: z.string().optional() })) });

async function viewOf(node: NatsNode): Promise<JetStreamView | undefined> {
  return JetStreamView.safeParse(await getJson(`${node.monitorUrl}/jsz?streams=true&consumers=true`)).data;
}

/** Returns undefined without an answer within a second. */
async function getJson(address: string): Promise<unknown> {
  try {
    return await (await fetch(address, { signal: AbortSignal.timeout(1000) })).json();
  } catch {
    return undefined;
  }
}

const streamOf = (view: JetStreamView, stream: string) =>
  view.account_details
    ?.flatMap(({ stream_detail }) => stream_detail ?? [])
    .find(({ name }) => name === stream);
