// Servers that the test files of one worker share, so that each server starts once per worker.
//
// A borrower owns a server until `stop()`, which deletes every stream or room instead of ending the server. The
// servers end with the worker, by their guards.
import { RoomServiceClient } from "livekit-server-sdk";
import { connect } from "nats";
import { freePort } from "../../../cli/servers/ports.ts";
import { startNatsCluster } from "./nats-cluster.ts";
import { startLiveKit, startNats, type TestLiveKit } from "./servers.ts";
import type { TestNats } from "./test-nats.ts";

interface Server {
  stop(): Promise<void>;
  kill9(): Promise<void>;
}

/** LiveKit sends its webhooks to this port on loopback, which the first gateway uses. */
export type LiveKitWithWebhooks = TestLiveKit & { readonly webhookPort: number };

/** Only a test worker ends its shared servers. A bench would wait for them forever. */
const isTestWorker = process.env.VITEST !== undefined;

/** A server that is lent to one borrower at a time. A second borrower gets another server, which `stop()` ends. */
class SharedServer<T extends Server> {
  readonly #start: () => Promise<T>;
  readonly #empty: (server: T) => Promise<void>;
  #idle: T | undefined;
  #isStarted = false;

  constructor(start: () => Promise<T>, empty: (server: T) => Promise<void>) {
    this.#start = start;
    this.#empty = empty;
  }

  async borrow(): Promise<T> {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle !== undefined) return idle;
    const server = await this.#start();
    if (this.#isStarted || !isTestWorker) return server;
    this.#isStarted = true;
    const end = server.stop.bind(server);
    server.stop = async () => {
      try {
        await this.#empty(server);
        this.#idle = server;
      } catch {
        // A test killed the server. The next borrower starts another one.
        this.#isStarted = false;
        await end();
      }
    };
    return server;
  }
}

const nats = new SharedServer(() => startNats(), deleteStreams);
const cluster = new SharedServer<TestNats>(() => startNatsCluster(), deleteStreams);
const livekit = new SharedServer(startWithWebhooks, deleteRooms);

/** Lends one NATS node, or a cluster of three. */
export const borrowNats = (nodes: number): Promise<TestNats> => (nodes === 1 ? nats : cluster).borrow();

export const borrowLiveKit = (): Promise<LiveKitWithWebhooks> => livekit.borrow();

async function startWithWebhooks(): Promise<LiveKitWithWebhooks> {
  const webhookPort = await freePort();
  const webhookUrl = `http://127.0.0.1:${webhookPort}/api/livekit/webhook`;
  return Object.assign(await startLiveKit({ webhookUrl }), { webhookPort });
}

async function deleteStreams({ url }: TestNats): Promise<void> {
  const connection = await connect({ servers: url.split(",") });
  const { streams } = await connection.jetstreamManager();
  for await (const { config } of streams.list()) await streams.delete(config.name);
  await connection.close();
}

async function deleteRooms({ url, apiKey, apiSecret }: TestLiveKit): Promise<void> {
  const rooms = new RoomServiceClient(url.replace(/^ws/, "http"), apiKey, apiSecret);
  for (const { name } of await rooms.listRooms()) await rooms.deleteRoom(name);
}
