// The end of `npm start` by signals and kills, its leftovers, and the next start.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../../cli/servers/ports.ts";
import { LocalSite } from "../../kit/stack/start-local.ts";
import { until } from "../../kit/until.ts";

let site: LocalSite;
beforeEach(async () => {
  site = await LocalSite.make();
});
afterEach(() => site.clean());

const isLocked = () => existsSync(join(site.dataDir, "lock.json"));

describe("the end of npm start", () => {
  test("stops everything in order after SIGTERM, and leaves nothing", async () => {
    const order = join(site.dataDir, "stopped.txt");
    const local = site.start({ FAKE_STOPPED_FILE: order });
    await local.ready();
    // The banner does not wait for these services, and a service that still loads can't stop in order.
    for (const service of ["control", "agent-host"]) await local.logged(/^running$/, service);
    expect(site.pids().length).toBeGreaterThan(5);
    expect(isLocked()).toBe(true);

    local.signal("SIGTERM");
    expect(await local.ended()).toBe(0);
    await site.isEmpty();
    expect(isLocked()).toBe(false);
    expect(readdirSync(join(site.dataDir, "run"))).toEqual([]);
    const stopped = readFileSync(order, "utf8").trim().split("\n");
    expect(stopped).toEqual(["gateway", "agent-host", "control"]);
  });

  test("stops in order when npm passes on one Ctrl+C twice", async () => {
    const local = site.start();
    await local.ready();
    local.signal("SIGINT");
    local.signal("SIGINT");
    expect(await local.ended()).toBe(0);
    await site.isEmpty();
  });

  test("kills everything after a second Ctrl+C", async () => {
    const local = site.start({ FAKE_NEVER_STOPS: "gateway,agent-host" });
    await local.ready();
    local.signal("SIGINT");
    await local.logged(/^stopping/, "gateway");
    await new Promise((resolve) => setTimeout(resolve, 700));
    const pressedAt = performance.now();
    local.signal("SIGINT");
    expect(await local.ended()).toBe(130);
    expect(performance.now() - pressedAt).toBeLessThan(2000);
    await site.isEmpty(5000);
    expect(isLocked()).toBe(false);
  });

  test("ends within 10 s after one Ctrl+C when services don't stop, and names them every second", async () => {
    const local = site.start({ FAKE_NEVER_STOPS: "gateway,agent-host,control" });
    await local.ready();
    await local.logged(/^running$/, "control");
    const pressedAt = performance.now();
    local.signal("SIGINT");
    expect(await local.ended()).toBe(0);
    expect(performance.now() - pressedAt).toBeLessThan(10_000);
    const reports = local.records().filter(({ msg }) => msg.startsWith("stopping; waiting for "));
    expect(reports.length).toBeGreaterThanOrEqual(7);
    for (const name of ["gateway", "control"])
      expect(local.records().map(({ msg }) => msg)).toContain(`stopping; waiting for ${name}`);
    await site.isEmpty();
  });

  test("leaves nothing after SIGTERM during the start", async () => {
    const local = site.start();
    await local.logged(/^NATS is running/);
    local.signal("SIGTERM");
    expect(await local.ended()).toBe(0);
    await site.isEmpty();
    expect(isLocked()).toBe(false);
  });

  test("leaves nothing after SIGKILL, and the next start uses the same ports", async () => {
    const first = site.start({ LIVEKIT_MOCK_MODE: "false" });
    await first.ready();
    // The banner does not wait for this host, and one that is killed while it starts leaves its child behind.
    await first.logged(/^running$/, "agent-host");
    first.signal("SIGKILL");
    await first.ended();
    await site.isEmpty();

    const second = site.start({ LIVEKIT_MOCK_MODE: "false" });
    const banner = await second.ready();
    expect(banner.msg).toContain(`nats://127.0.0.1:${site.natsPort}`);
    expect(banner.msg).toContain(`ws://127.0.0.1:${site.livekitPort}`);
    second.signal("SIGTERM");
    expect(await second.ended()).toBe(0);
    await site.isEmpty();
  });

  test("leaves nothing after SIGKILL right after the services are started", async () => {
    const local = site.start();
    await local.logged(/^NATS is running/);
    await until(() => readdirSync(join(site.dataDir, "run")).length === 4, {
      timeoutMs: 30_000,
      what: "all four processes are started",
    });
    local.signal("SIGKILL");
    await local.ended();
    await site.isEmpty();
  });

  test("leaves services that refuse to stop to the next start, which kills them", async () => {
    const first = site.start({ FAKE_NEVER_STOPS: "gateway,control" });
    await first.ready();
    // A host that is killed while it starts leaves its child behind.
    await first.logged(/^running$/, "agent-host");
    first.signal("SIGKILL");
    await first.ended();
    const left = () => site.pids().length;
    await until(() => left() <= 4, {
      timeoutMs: 30_000,
      what: "only the services that refuse to stop are left",
    });
    expect(left()).toBeGreaterThan(0);

    const second = site.start();
    const warning = await second.logged(/^a previous run was killed/);
    expect(warning.msg).toMatch(/gateway \(\d+\)/);
    expect((await second.ready()).msg).toContain(`http://localhost:${site.port}`);
    second.signal("SIGTERM");
    expect(await second.ended()).toBe(0);
    await site.isEmpty();
  });
});

describe("the start of npm start", () => {
  test("is refused on the data directory of a running one, which continues", async () => {
    const first = site.start();
    await first.ready();
    const second = site.start({ GREENROOM_PORT: "0" });
    expect(await second.ended()).toBe(1);
    const refusal = second.records().at(-1)!;
    expect(refusal.level).toBe("fatal");
    expect(refusal.msg).toContain(`is already running on ${site.dataDir} (process ${first.pid})`);
    expect(refusal.msg).toContain("GREENROOM_DATA_DIR");
    expect((await fetch(`${site.url}/api/health`)).status).toBe(200);
    first.signal("SIGTERM");
    expect(await first.ended()).toBe(0);
  });

  test("creates LiveKit's key once, readable by its owner only", async () => {
    const keyFile = join(site.dataDir, "livekit", "livekit-key.json");
    const keys: string[] = [];
    for (let round = 0; round < 2; round++) {
      const local = site.start({ LIVEKIT_MOCK_MODE: "false" });
      await local.ready();
      const env = (await (await fetch(`${site.url}/env`)).json()) as Record<string, string>;
      keys.push(`${env.LIVEKIT_API_KEY}:${env.LIVEKIT_API_SECRET}`);
      expect(env.LIVEKIT_API_SECRET!.length).toBeGreaterThanOrEqual(32);
      local.signal("SIGTERM");
      expect(await local.ended()).toBe(0);
    }
    expect(keys[0]).toBe(keys[1]);
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    expect(statSync(join(site.dataDir, "livekit", "livekit.yaml")).mode & 0o777).toBe(0o600);
  });

  test("fails on a taken gateway port before it starts anything", async () => {
    const taker = createServer();
    await new Promise<void>((resolve) => taker.listen(site.port, "127.0.0.1", resolve));
    const local = site.start();
    expect(await local.ended()).toBe(1);
    taker.close();
    expect(local.records().map((record) => record.level)).toEqual(["fatal"]);
    expect(local.records()[0]!.msg).toContain(
      `Choose another port, for example GREENROOM_PORT=${site.port + 1}.`,
    );
    expect(existsSync(join(site.dataDir, "nats"))).toBe(false);
    expect(isLocked()).toBe(false);
  });

  test("uses the ports of the settings, and fails if one is taken", async () => {
    const [nats, livekit] = [await freePort(), await freePort()];
    const ports = { GREENROOM_NATS_PORT: String(nats), GREENROOM_LIVEKIT_PORT: String(livekit) };
    const local = site.start({ LIVEKIT_MOCK_MODE: "false", ...ports });
    const { msg } = await local.ready();
    expect(msg).toContain(`nats://127.0.0.1:${nats}`);
    expect(msg).toContain(`ws://127.0.0.1:${livekit}`);
    local.signal("SIGTERM");
    expect(await local.ended()).toBe(0);

    for (const [name, port] of [
      ["NATS", nats],
      ["LiveKit", livekit],
    ] as const) {
      const taker = createServer();
      await new Promise<void>((resolve) => taker.listen(port, "127.0.0.1", resolve));
      const refused = site.start({ LIVEKIT_MOCK_MODE: "false", ...ports });
      expect(await refused.ended()).toBe(1);
      taker.close();
      expect(refused.records().at(-1)?.msg).toContain(`${name} can't listen on 127.0.0.1:${port}`);
      await site.isEmpty();
    }
  });

  test("moves from taken NATS and LiveKit ports to free ones, and logs them", async () => {
    const takers = await Promise.all(
      [site.natsPort, site.livekitPort].map(async (port) => {
        const taker = createServer();
        await new Promise<void>((resolve) => taker.listen(port, "127.0.0.1", resolve));
        return taker;
      }),
    );
    const local = site.start({ LIVEKIT_MOCK_MODE: "false" });
    const banner = await local.ready();
    for (const taker of takers) taker.close();
    const nats = await local.logged(new RegExp(`port ${site.natsPort} is in use; NATS uses \\d+`));
    const livekit = await local.logged(new RegExp(`port ${site.livekitPort} is in use; LiveKit uses \\d+`));
    expect(banner.msg).toContain(`nats://127.0.0.1:${nats.port}`);
    expect(banner.msg).toContain(`ws://127.0.0.1:${livekit.port}`);
    local.signal("SIGTERM");
    expect(await local.ended()).toBe(0);
  });
});
