// The supervisor's settings, its backoff, and the servers' configurations.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { livekitConfig, livekitKey } from "../../../../cli/servers/livekit.ts";
import { MAX_FILE_STORE_BYTES, natsConfigText } from "../../../../cli/servers/nats.ts";
import { freePort } from "../../../../cli/servers/ports.ts";
import { readLocalConfig } from "../../../../cli/supervisor/config.ts";
import { gatewayPorts } from "../../../../cli/supervisor/gateway-ports.ts";
import { allBuckets } from "../../../../libs/contracts/buckets.ts";
import { allChannels } from "../../../../libs/contracts/streams.ts";
import { defaultBackOff, restartDelay } from "../../../../libs/runtime/back-off.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";

test("starts NATS and LiveKit on loopback without any setting", () => {
  const config = readLocalConfig({});
  expect(config.NATS_URL).toBeUndefined();
  expect(config.LIVEKIT_URL).toBeUndefined();
  expect(config.GREENROOM_BIND).toBe("127.0.0.1");
  expect(config.GREENROOM_PORT).toBe(8080);
});

test("rejects an incomplete LiveKit, naming what is missing", () => {
  expect(() => readLocalConfig({ LIVEKIT_URL: "ws://livekit.test" })).toThrow(
    "LIVEKIT_URL is set, but not LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
  );
  expect(() => readLocalConfig({ LIVEKIT_API_KEY: "key", LIVEKIT_API_SECRET: "secret" })).toThrow(
    "LIVEKIT_API_KEY and LIVEKIT_API_SECRET are set, but not LIVEKIT_URL",
  );
});

test("needs no LiveKit for simulated rooms", () => {
  const config = readLocalConfig({ LIVEKIT_MOCK_MODE: "true", LIVEKIT_URL: "ws://livekit.test" });
  expect(config.LIVEKIT_MOCK_MODE).toBe(true);
});

test.each(["always", "1s", "250ms", "2m"])("accepts %s as NATS's sync interval", (sync) => {
  expect(readLocalConfig({ GREENROOM_NATS_SYNC: sync }).GREENROOM_NATS_SYNC).toBe(sync);
});

test.each(["rejects %j as NATS's sync interval", "0s", "1", '1s"\nhttp: 1'])(
  "rejects %j as NATS's sync interval",
  (sync) => {
    expect(() => readLocalConfig({ GREENROOM_NATS_SYNC: sync })).toThrow("GREENROOM_NATS_SYNC");
  },
);

test("rejects a misspelt setting and suggests the nearest one", () => {
  expect(() => readLocalConfig({ GREENROOM_PROT: "8081" })).toThrow("Did you mean GREENROOM_PORT?");
});

test("configures NATS with quoted durations, loopback addresses, and space for all streams and buckets", () => {
  const text = natsConfigText({ dir: "/data", port: 4222, monitorPort: 8222, syncInterval: "1s" });
  expect(text).toContain('listen: "127.0.0.1:4222"');
  expect(text).toContain('http: "127.0.0.1:8222"');
  expect(text).toContain('sync_interval: "1s"');
  expect(text).toContain(`max_file_store: ${MAX_FILE_STORE_BYTES}`);
  const reserved = [...allChannels, ...allBuckets].reduce((sum, { maxBytes }) => sum + maxBytes, 0);
  expect(MAX_FILE_STORE_BYTES).toBeGreaterThan(reserved);
  const always = natsConfigText({ dir: "/data", port: 1, monitorPort: 2, syncInterval: "always" });
  expect(always).toContain("sync_interval: always");
});

test("configures a NATS node with its name, its cluster and the routes, all on loopback", () => {
  const routes = ["nats://127.0.0.1:6222", "nats://127.0.0.1:6223"];
  const cluster = { nodeName: "nats-2", clusterName: "greenroom", routePort: 6223, routes };
  const layout = { dir: "/data", port: 4223, monitorPort: 8223, syncInterval: "1s", cluster };
  const text = natsConfigText({ ...layout, extra: "max_connections: 7\n" });
  expect(text).toContain("server_name: nats-2\n");
  expect(text).toMatch(/cluster \{\n {2}name: greenroom\n {2}listen: "127\.0\.0\.1:6223"/);
  expect(text).toContain(JSON.stringify(routes));
  expect(text).toMatch(/max_connections: 7\n$/);
});

test("accepts 1, 3 or 5 replicas, because an even number survives no more losses than the odd one below", () => {
  expect(readLocalConfig({ GREENROOM_REPLICAS: "3" }).GREENROOM_REPLICAS).toBe(3);
  for (const replicas of ["0", "2", "4", "7", "many"]) {
    expect(() => readLocalConfig({ GREENROOM_REPLICAS: replicas })).toThrow("GREENROOM_REPLICAS");
  }
});

test("assigns gateways the ports after the first, and others where those are occupied", async () => {
  const first = await freePort();
  const config = readLocalConfig({ GREENROOM_PORT: String(first) });
  const taker = createServer();
  // If another process has that port, the port is occupied all the same.
  await new Promise<void>((resolve) => {
    taker.once("error", () => resolve());
    taker.listen(first + 1, "127.0.0.1", resolve);
  });
  try {
    const ports = await gatewayPorts(config, 3, silentLog);
    expect(ports[0]).toBe(first);
    expect(ports).not.toContain(first + 1);
    expect(new Set(ports).size).toBe(3);
    const taken = readLocalConfig({ GREENROOM_PORT: String(first + 1) });
    await expect(gatewayPorts(taken, 1, silentLog)).rejects.toThrow("the port is in use");
  } finally {
    taker.close();
  }
});

test("configures LiveKit on loopback, media included, with a key that signs its webhooks", () => {
  const key = { apiKey: "APIkey", apiSecret: "s".repeat(32) };
  const layout = { dir: "/data", port: 7880, key, webhookUrl: "http://127.0.0.1:8080/hook" };
  expect(livekitConfig(layout, { udp: 1, tcp: 2 })).toMatchObject({
    port: 7880,
    bind_addresses: ["127.0.0.1"],
    rtc: { udp_port: 1, tcp_port: 2, node_ip: "127.0.0.1", enable_loopback_candidate: true },
    keys: { APIkey: key.apiSecret },
    webhook: { api_key: "APIkey", urls: ["http://127.0.0.1:8080/hook"] },
  });
});

test("keeps a LiveKit key for each data directory", async () => {
  const directory = mkdtempSync(join(tmpdir(), "greenroom-key-"));
  try {
    const first = await livekitKey(join(directory, "a"));
    expect(await livekitKey(join(directory, "a"))).toEqual(first);
    expect((await livekitKey(join(directory, "b"))).apiSecret).not.toBe(first.apiSecret);
    expect(first.apiSecret.length).toBeGreaterThanOrEqual(32);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("doubles pauses between restarts up to a limit, and makes them long after a failure", () => {
  const delays = [1, 2, 3, 4, 5].map((deaths) => restartDelay(defaultBackOff, deaths));
  expect(delays.map(({ delayMs }) => delayMs)).toEqual([250, 500, 1000, 2000, 4000]);
  expect(delays.some(({ hasFailed }) => hasFailed)).toBe(false);
  expect(restartDelay(defaultBackOff, 6)).toEqual({ delayMs: defaultBackOff.slowMs, hasFailed: true });
  expect(restartDelay({ ...defaultBackOff, patience: 20 }, 12).delayMs).toBe(defaultBackOff.mostMs);
});
