// How `npm start` keeps its children alive, what it says of them, and which servers it uses.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
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

/** Waits for what the supervisor tells the fleet of a service. */
const beatOf = (service: string, status: string) =>
  until(
    async () => {
      // The gateway may not be up yet.
      const heartbeats = await getJson<ServiceHeartbeat[]>("/heartbeats").catch(() => []);
      return heartbeats.find(
        (beat) => beat.instance === "supervisor" && beat.service === service && beat.status === status,
      );
    },
    { timeoutMs: 15_000, everyMs: 100, what: `the supervisor says that ${service} is ${status}` },
  );

test("a killed service is started again, and its own children die with it", async () => {
  const local = site.start();
  await local.ready();
  const runs = () => local.records().filter((r) => r.service === "agent-host" && r.msg === "running").length;
  // `npm start` is ready when its gateway is; the agent-host may take a moment longer.
  await until(() => runs() === 1, { timeoutMs: 15_000, what: "the agent-host runs" });
  const before = pidOf("agent-host");
  const count = site.pids().length;
  process.kill(before, "SIGKILL");
  const death = await local.logged(/^agent-host died: ended by SIGKILL/);
  expect(death.delayMs).toBe(50);
  await until(() => runs() === 2, { timeoutMs: 15_000, what: "the agent-host runs again" });
  expect(pidOf("agent-host")).not.toBe(before);
  await until(() => site.pids().length === count, { what: "there are as many processes as before" });
  await stopped(local);
});

test("killed servers are started again on the same ports, and NATS keeps its data", async () => {
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
      timeoutMs: 10_000,
      what: "LiveKit answers on its port again",
    },
  );
  await beatOf("nats", "running");
  expect([pidOf("nats"), pidOf("livekit")].some((pid) => before.includes(pid))).toBe(false);
  // A question that reaches NATS before JetStream is up there is never answered, and may be asked again.
  const kept = await until(() => bus.kv.get(pools, "echo").catch(() => undefined), {
    timeoutMs: 30_000,
    what: "JetStream answers",
  });
  expect(kept.value).toEqual(target);
  await bus.close();
  await stopped(local);
});

test("a service that keeps dying is tried with growing pauses and told as failed, with its last error", async () => {
  const local = site.start({ FAKE_DIES: "dispatcher" });
  const beat = await beatOf("dispatcher", "failed");
  expect(beat.reason).toBe("ended with exit code 1 (could not start: FAKE_DIES)");
  const deaths = local.records().filter((record) => /^dispatcher died/.test(record.msg));
  expect(deaths.slice(0, 3).map((record) => record.delayMs)).toEqual([50, 100, 500]);
  await local.ready();
  await stopped(local);
});

test("a service whose settings can't be used is told as failed and not started again", async () => {
  const local = site.start({ FAKE_BAD_SETTINGS: "janitor" });
  const beat = await beatOf("janitor", "failed");
  expect(beat.reason).toContain("GREENROOM_PROT is not a setting");
  await local.ready();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(local.records().filter((record) => record.service === "janitor")).toHaveLength(1);
  await stopped(local);
});

test("servers that are given are used, and none is started", async () => {
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

test("without a LiveKit to be had the API still starts and says what to do", async () => {
  const { execPath } = process;
  const nats = await startNats();
  try {
    const local = site.start({
      LIVEKIT_MOCK_MODE: "false",
      NATS_URL: nats.url,
      GREENROOM_LIVEKIT_SERVER: "",
      GREENROOM_NO_DOWNLOAD: "true",
      // Neither Go nor a cache: nothing to install it with.
      PATH: join(execPath, ".."),
      XDG_CACHE_HOME: join(site.dataDir, "cache"),
    });
    const warning = await local.logged(/The API starts without LiveKit/);
    expect(warning.level).toBe("warn");
    expect(warning.msg).toContain("GREENROOM_LIVEKIT_SERVER");
    expect((await local.ready()).msg).toContain("LiveKit   none");
    expect((await beatOf("livekit", "disabled")).reason).toContain("no livekit-server");
    await stopped(local);
  } finally {
    await nats.stop();
  }
});

test("every line of the log is JSON and names its service", async () => {
  const local = site.start({ LIVEKIT_MOCK_MODE: "false", GREENROOM_LOG_LEVEL: "debug" });
  await local.ready();
  // It is ready when its gateway is; one that is stopped before it runs may have said nothing.
  for (const service of ["dispatcher", "agent-host", "janitor"]) await local.logged(/^running$/, service);
  await stopped(local);
  const services = new Set(local.records().map((record) => record.service));
  expect([...services].sort()).toEqual([
    "agent-host",
    "dispatcher",
    "gateway",
    "greenroom",
    "janitor",
    "livekit",
    "nats",
  ]);
  const banner = local.records().find((record) => record.msg.startsWith("Greenroom is ready"))!;
  expect(banner.curl).toBe(`curl -X POST http://localhost:${site.port}/api/session/start`);
});
