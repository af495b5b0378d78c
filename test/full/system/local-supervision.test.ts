// The supervisor of `npm start`: how it restarts and reports its children, and which servers it uses.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connectNatsBus } from "../../../libs/bus/nats/nats-bus.ts";
import { pools } from "../../../libs/contracts/buckets.ts";
import type { ServiceHeartbeat } from "../../../libs/contracts/fleet/pool.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { startLiveKit, startNats } from "../../kit/servers/servers.ts";
import { type LocalProcess, LocalSite } from "../../kit/stack/start-local.ts";
import { until } from "../../kit/until.ts";

let site: LocalSite;
beforeEach(async () => {
  site = await LocalSite.make();
});
afterEach(() => site.clean());

const pidOf = (name: string): number =>
  (JSON.parse(readFileSync(join(site.dataDir, "run", `${name}.json`), "utf8")) as { pid: number }).pid;

const getJson = async <T>(path: string): Promise<T> => (await (await fetch(site.url + path)).json()) as T;

async function stopped(local: LocalProcess): Promise<void> {
  local.signal("SIGTERM");
  expect(await local.ended()).toBe(0);
  await site.isEmpty();
}

/** Waits for the supervisor's heartbeat about a service. */
const heartbeatOf = (service: string, status: string) =>
  until(
    async () => {
      // The gateway may not be up yet.
      const heartbeats = await getJson<ServiceHeartbeat[]>("/heartbeats").catch(() => []);
      return heartbeats.find(
        (heartbeat) =>
          heartbeat.instance === "supervisor" && heartbeat.service === service && heartbeat.status === status,
      );
    },
    { timeoutMs: 30_000, everyMs: 100, what: `the supervisor reports ${service} as ${status}` },
  );

describe("the supervisor", () => {
  test("restarts a killed service, whose children die with it", async () => {
    const local = site.start();
    await local.ready();
    const runs = () =>
      local.records().filter((r) => r.service === "agent-host" && r.msg === "running").length;
    // `npm start` is ready with its gateway. The agent-host may take a moment longer.
    await until(() => runs() === 1, { timeoutMs: 30_000, what: "the agent-host runs" });
    await local.logged(/^running$/, "control");
    const before = pidOf("agent-host");
    const count = site.pids().length;
    process.kill(before, "SIGKILL");
    const death = await local.logged(/^agent-host died: ended by SIGKILL/);
    expect(death.delayMs).toBe(50);
    await until(() => runs() === 2, { timeoutMs: 30_000, what: "the agent-host runs again" });
    expect(pidOf("agent-host")).not.toBe(before);
    await until(() => site.pids().length === count, {
      timeoutMs: 30_000,
      what: "the number of processes is the same as before",
    });
    await stopped(local);
  });

  test("restarts killed servers on the same ports, and NATS keeps its data", async () => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "false" });
    await local.ready();
    const bus = await connectNatsBus({
      url: `nats://127.0.0.1:${site.natsPort}`,
      name: "test",
      replicas: 1,
      log: silentLog,
      onLost: () => {},
    });
    const target = { profile: "echo", min: 7, hot: 0, max: 9, perProcess: 1, source: "api" as const };
    await bus.kv.update(pools, target, 0);

    const before = [pidOf("nats"), pidOf("livekit")];
    for (const pid of before) process.kill(pid, "SIGKILL");
    await local.logged(/^nats died/);
    await local.logged(/^livekit died/);
    await until(
      () =>
        fetch(`http://127.0.0.1:${site.livekitPort}/`).then(
          (r) => r.ok,
          () => false,
        ),
      {
        timeoutMs: 30_000,
        what: "LiveKit answers on its port again",
      },
    );
    await heartbeatOf("nats", "running");
    expect([pidOf("nats"), pidOf("livekit")].some((pid) => before.includes(pid))).toBe(false);
    // NATS never answers a request that arrives before JetStream is up, so the test repeats it.
    const kept = await until(() => bus.kv.get(pools, "echo").catch(() => undefined), {
      timeoutMs: 30_000,
      what: "JetStream answers",
    });
    expect(kept.value).toEqual(target);
    await bus.close();
    await stopped(local);
  });

  test("restarts a dying service with growing delays, and reports it as failed with its last error", async () => {
    const local = site.start({ FAKE_DIES: "control" });
    // Each role of the process has failed with it.
    for (const role of ["dispatcher", "webhooks"]) {
      const heartbeat = await heartbeatOf(role, "failed");
      expect(heartbeat.reason).toBe("ended with exit code 1 (failed to start: FAKE_DIES)");
    }
    const deaths = local.records().filter((record) => /^control died/.test(record.msg));
    expect(deaths.slice(0, 3).map((record) => record.delayMs)).toEqual([50, 100, 500]);
    await local.ready();
    await stopped(local);
  });

  test("reports a service with invalid settings as failed, and doesn't restart it", async () => {
    const local = site.start({ FAKE_BAD_SETTINGS: "control" });
    const heartbeat = await heartbeatOf("janitor", "failed");
    expect(heartbeat.reason).toContain("GREENROOM_PROT is not a setting");
    await local.ready();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(local.records().filter((record) => record.service === "control")).toHaveLength(1);
    await stopped(local);
  });

  test("uses given servers, and starts none", async () => {
    const nats = await startNats();
    const livekit = await startLiveKit();
    try {
      const local = site.start({
        LIVEKIT_MOCK_MODE: "false",
        NATS_URL: nats.url,
        LIVEKIT_URL: livekit.url,
        LIVEKIT_API_KEY: livekit.apiKey,
        LIVEKIT_API_SECRET: livekit.apiSecret,
      });
      await local.ready();
      const { apiKey, apiSecret } = livekit;
      expect(await getJson("/env")).toEqual({
        NATS_URL: nats.url,
        LIVEKIT_URL: livekit.url,
        LIVEKIT_API_KEY: apiKey,
        LIVEKIT_API_SECRET: apiSecret,
      });
      expect(() => pidOf("nats")).toThrow("ENOENT");
      expect(() => pidOf("livekit")).toThrow("ENOENT");
      await stopped(local);
      expect((await fetch(`${nats.monitorUrl}/healthz`)).ok).toBe(true);
    } finally {
      await livekit.stop();
      await nats.stop();
    }
  });

  test("starts the API without any LiveKit, and logs what to do", async () => {
    const { execPath } = process;
    const nats = await startNats();
    try {
      const local = site.start({
        LIVEKIT_MOCK_MODE: "false",
        NATS_URL: nats.url,
        GREENROOM_LIVEKIT_SERVER: "",
        GREENROOM_NO_DOWNLOAD: "true",
        // Without Go and a cache, nothing can install LiveKit.
        PATH: join(execPath, ".."),
        XDG_CACHE_HOME: join(site.dataDir, "cache"),
      });
      const warning = await local.logged(/The API starts without LiveKit/);
      expect(warning.level).toBe("warn");
      expect(warning.msg).toContain("GREENROOM_LIVEKIT_SERVER");
      expect((await local.ready()).msg).toContain("LiveKit   none");
      expect((await heartbeatOf("livekit", "disabled")).reason).toContain("livekit-server was not found");
      await stopped(local);
    } finally {
      await nats.stop();
    }
  });

  test("logs JSON lines only, each with its service", async () => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "false", GREENROOM_LOG_LEVEL: "debug" });
    await local.ready();
    // `npm start` is ready with its gateway. A service that stops before it runs may log nothing.
    for (const service of ["control", "agent-host"]) await local.logged(/^running$/, service);
    await stopped(local);
    const services = new Set(local.records().map((record) => record.service));
    expect([...services].sort()).toEqual([
      "agent-host",
      "control",
      "gateway",
      "greenroom",
      "livekit",
      "nats",
    ]);
    const banner = local.records().find((record) => record.msg.startsWith("Greenroom is ready"))!;
    expect(banner.curl).toBe(`curl -X POST http://localhost:${site.port}/api/session/start`);
  });
});
