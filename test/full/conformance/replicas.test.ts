// The number of copies of streams in NATS: grows with the setting, never shrinks, and fails with a reason if impossible.
import { connect } from "nats";
import { afterEach, describe, expect, test } from "vitest";
import { connectNatsBus } from "../../../libs/bus/nats/nats-bus.ts";
import { hosts } from "../../../libs/contracts/buckets.ts";
import { createLog, type Log } from "../../../libs/runtime/log.ts";
import { connectTo, eventually } from "../../conformance/buses.ts";
import { aHost } from "../../kit/fixtures/sessions.ts";
import { type NatsCluster, startNatsCluster } from "../../kit/servers/nats-cluster.ts";
import { startNats } from "../../kit/servers/servers.ts";

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function recordingLog(): { log: Log; messages: string[] } {
  const messages: string[] = [];
  const log = createLog("test", "info", {
    write: (line: string) => void messages.push(JSON.parse(line).msg),
  });
  return { log, messages };
}

async function startCluster(): Promise<NatsCluster> {
  const cluster = await startNatsCluster();
  cleanUps.push(() => cluster.stop());
  return cluster;
}

async function connectWith(url: string, replicas: number) {
  const { log, messages } = recordingLog();
  const bus = await connectNatsBus({ url, name: `r${replicas}`, replicas, log, onLost: () => {} });
  cleanUps.push(() => bus.close());
  return { bus, messages };
}

/** The number of copies of each stream, and whether all are up to date. */
async function copies(url: string): Promise<{ name: string; replicas: number; isCurrent: boolean }[]> {
  const connection = await connect({ servers: url.split(",") });
  const manager = await connection.jetstreamManager();
  const streams = await manager.streams.list().next();
  await connection.close();
  return streams.map(({ config, cluster }) => ({
    name: config.name,
    replicas: config.num_replicas,
    isCurrent:
      cluster?.replicas?.length === config.num_replicas - 1 &&
      cluster.replicas.every(({ current }) => current),
  }));
}

describe("stream setup", () => {
  test("grows streams from one copy to three with their data, and keeps three at a later setting of one", async () => {
    const cluster = await startCluster();
    const { bus } = await connectWith(cluster.url, 1);
    await bus.kv.update(hosts, aHost("h", 7), 0);
    expect(new Set((await copies(cluster.url)).map(({ replicas }) => replicas))).toEqual(new Set([1]));

    const grown = await connectWith(cluster.url, 3);
    expect(grown.messages.filter((line) => line === "added copies to a stream").length).toBeGreaterThan(5);
    await eventually(
      async () => (await copies(cluster.url)).every((one) => one.replicas === 3 && one.isCurrent),
      60_000,
    );
    expect((await grown.bus.kv.get(hosts, "h"))?.value.sequence).toBe(7);

    const { messages } = await connectWith(cluster.url, 1);
    const line = messages.find((text) => text.startsWith("GREENROOM_REPLICAS is 1"));
    expect(line).toContain("KV_sessions (3)");
    expect(line).toContain("nats stream edit");
    expect((await copies(cluster.url)).map(({ replicas }) => replicas)).not.toContain(1);
  });

  test("rejects three copies on a single server at once, with the reason", async () => {
    const nats = await startNats();
    cleanUps.push(() => nats.stop());
    const startedAt = performance.now();
    const refused = connectTo(nats.url, "r3", 3);
    await expect(refused).rejects.toMatchObject({ code: "storage_unavailable" });
    await expect(refused).rejects.toThrow(/GREENROOM_REPLICAS is 3.*single server/);
    // At once means without the half-minute wait for a starting server.
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test("rejects five copies on three nodes with the missing resources", async () => {
    const cluster = await startCluster();
    await expect(connectTo(cluster.url, "r5", 5)).rejects.toThrow(/does not have 5 nodes.*no suitable peers/);
  });

  test("keeps a process waiting, with a log line, while most nodes are down", async () => {
    const cluster = await startCluster();
    const [, second, third] = cluster.nodes;
    await Promise.all([second!.kill9(), third!.kill9()]);
    const { log, messages } = recordingLog();
    const connecting = connectNatsBus({
      url: cluster.url,
      name: "early",
      replicas: 3,
      log,
      onLost: () => {},
    });
    await eventually(
      () => messages.some((line) => /^waiting for JetStream: not ready after \d+ s/.test(line)),
      25_000,
    );
    await Promise.all([second!.restart(), third!.restart()]);
    const bus = await connecting;
    cleanUps.push(() => bus.close());
    expect(await bus.kv.entries(hosts)).toEqual([]);
  });
});
