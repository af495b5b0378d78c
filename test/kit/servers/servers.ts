// Real servers for tests, on free ports and in temporary directories.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { livekitServer, natsServer } from "../../../cli/servers/binary-specs.ts";
import { isLiveKitReady, newLiveKitKey, writeLiveKitConfig } from "../../../cli/servers/livekit.ts";
import { isNatsReady, writeNatsConfig } from "../../../cli/servers/nats.ts";
import { freePort } from "../../../cli/servers/ports.ts";
import { startNatsContainer } from "./nats-container.ts";
import { binaryOf, ServerProcess } from "./server-process.ts";
import type { NatsOptions, TestNats } from "./test-nats.ts";

export interface TestLiveKit {
  /** ws:// */
  readonly url: string;
  readonly port: number;
  readonly apiKey: string;
  readonly apiSecret: string;
  readonly pid: number;
  stop(): Promise<void>;
  kill9(): Promise<void>;
  /** Ends the server if it still runs, and starts it with the same port and key. Its rooms are gone. */
  restart(): Promise<void>;
}

/** Starts a nats-server with JetStream: a container if an engine has the image, otherwise a process. */
export async function startNats(options: NatsOptions = {}): Promise<TestNats> {
  const container = await startNatsContainer(options);
  if (container !== undefined) return container;

  const binary = await binaryOf(natsServer);
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "greenroom-nats-")));
  const port = options.port ?? (await freePort());
  const syncInterval = options.syncInterval ?? "1s";
  const start = async () => {
    const { file, monitorUrl } = await writeNatsConfig({ dir, port, syncInterval });
    const server = await ServerProcess.start("nats-server", binary, ["-c", file], () =>
      isNatsReady(monitorUrl),
    );
    return { server, monitorUrl };
  };
  let running = await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    dir,
    get monitorUrl() {
      return running.monitorUrl;
    },
    get pid() {
      return running.server.pid;
    },
    async stop() {
      await running.server.end("SIGTERM");
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
    kill9: () => running.server.end("SIGKILL"),
    async restart() {
      await running.server.end("SIGTERM");
      running = await start();
    },
  };
}

export async function startLiveKit(options: { webhookUrl?: string } = {}): Promise<TestLiveKit> {
  const binary = await binaryOf(livekitServer);
  const dir = await mkdtemp(join(tmpdir(), "greenroom-livekit-"));
  const key = newLiveKitKey();
  const port = await freePort();
  const webhook = options.webhookUrl === undefined ? {} : { webhookUrl: options.webhookUrl };
  const file = await writeLiveKitConfig({ dir, port, key, ...webhook });
  const start = () =>
    ServerProcess.start("livekit-server", binary, ["--config", file], () => isLiveKitReady(port));
  let server = await start();
  return {
    url: `ws://127.0.0.1:${port}`,
    port,
    ...key,
    get pid() {
      return server.pid;
    },
    async stop() {
      await server.end("SIGTERM");
      await rm(dir, { recursive: true, force: true });
    },
    kill9: () => server.end("SIGKILL"),
    async restart() {
      await server.end("SIGTERM");
      server = await start();
    },
  };
}
