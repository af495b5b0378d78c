// How many copies NATS keeps: growing, never shrinking by itself, and what is said when it can't be done.
import { connect } from "nats";
import { afterEach, expect, test } from "vitest";
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

function listeningLog(): { log: Log; said: string[] } {
  const said: string[] = [];
  const log = createLog("test", "info", { write: (line: string) => void said.push(JSON.parse(line).msg) });
  return { log, said };
}

async function startCluster(): Promise<NatsCluster> {
  const cluster = await startNatsCluster();
  cleanUps.push(() => cluster.stop());
  return cluster;
}

async function connectWith(url: string, replicas: number) {
  const { log, said } = listeningLog();
  const bus = await connectNatsBus({ url, name: `r${replicas}`, replicas, log, onLost: () => {} });
  cleanUps.push(() => bus.close());
  return { bus, said };
}

/** The copies of each stream, and whether all of them are up to date. */
async function copies(url: string): Promise<{ name: string; replicas: number; isWhole: boolean }[]> {
  const connection = await connect({ servers: url.split(",") });
  const manager = await connection.jetstreamManager();
  const streams = await manager.streams.list().next();
  await connection.close();
  return streams.map(({ config, cluster }) => ({
    name: config.name,
    replicas: config.num_replicas,
    isWhole:
      cluster?.replicas?.length === config.num_replicas - 1 &&
      cluster.replicas.every(({ current }) => current),
  }));
}

test("streams of one copy grow to three with their data, and a later setting of one takes none away", async () => {
  const cluster = await startCluster();
  const { bus } = await connectWith(cluster.url, 1);
  await bus.save(hosts, aHost("h", 7), 0);
  expect(new Set((await copies(cluster.url)).map(({ replicas }) => replicas))).toEqual(new Set([1]));

  const grown = await connectWith(cluster.url, 3);
  expect(grown.said.filter((line) => line === "a stream is given more copies").length).toBeGreaterThan(5);
  await eventually(
    async () => (await copies(cluster.url)).every((one) => one.replicas === 3 && one.isWhole),
    60_000,
  );
  expect((await grown.bus.read(hosts, "h"))?.value.sequence).toBe(7);

  const { said } = await connectWith(cluster.url, 1);
  const line = said.find((text) => text.startsWith("GREENROOM_REPLICAS is 1"));
  expect(line).toContain("KV_sessions (3)");
  expect(line).toContain("nats stream edit");
  expect((await copies(cluster.url)).map(({ replicas }) => replicas)).not.toContain(1);
});

test("three copies on a single server are refused at once, and it is said why", async () => {
  const nats = await startNats();
  cleanUps.push(() => nats.stop());
  const beganAt = performance.now();
  const refused = connectTo(nats.url, "r3", 3);
  await expect(refused).rejects.toMatchObject({ code: "storage_unavailable" });
  await expect(refused).rejects.toThrow(/GREENROOM_REPLICAS is 3.*single server/);
  // Not after the half minute for which a server that comes up is waited for.
  expect(performance.now() - beganAt).toBeLessThan(20_000);
});

test("five copies on three nodes are told as impossible, with what is missing", async () => {
  const cluster = await startCluster();
  await expect(connectTo(cluster.url, "r5", 5)).rejects.toThrow(/no 5 nodes.*no suitable peers/);
});

test("a process that starts while most nodes are away says that it waits, and runs when they are back", async () => {
  const cluster = await startCluster();
  const [, second, third] = cluster.nodes;
  await Promise.all([second!.kill9(), third!.kill9()]);
  const { log, said } = listeningLog();
  const connecting = connectNatsBus({
    url: cluster.url,
    name: "early",
    replicas: 3,
    log,
    onLost: () => {},
  });
  await eventually(() => said.some((line) => /^JetStream is not ready after \d+ s/.test(line)), 25_000);
  await Promise.all([second!.restart(), third!.restart()]);
  const bus = await connecting;
  cleanUps.push(() => bus.close());
  expect(await bus.list(hosts)).toEqual([]);
});
