// `npm run start:cluster`: real services on three NATS nodes, which die one after the other under live sessions.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Bus } from "../../../libs/bus/bus.ts";
import { connectNatsBus } from "../../../libs/bus/nats/nats-bus.ts";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { RoleName } from "../../../libs/contracts/fleet/pool.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { type LocalProcess, LocalSite, realCluster, realLocal } from "../../kit/stack/start-local.ts";
import { type Visitor, visit } from "../../kit/stack/visitor.ts";
import { until } from "../../kit/until.ts";

let site: LocalSite;
const cleanUps: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  site = await LocalSite.make();
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  await site.clean();
});

const READY_MS = 120_000;
const PATIENCE_MS = 90_000;
const NATS = ["nats-1", "nats-2", "nats-3"];
const twoOf = (...names: string[]) => names.flatMap((name) => [`${name}-1`, `${name}-2`]);
const SHAPES = {
  control: twoOf("gateway", "control", "agent-host"),
  roles: twoOf("gateway", "agent-host", ...RoleName.options),
};

const running = (): string[] =>
  readdirSync(join(site.dataDir, "run"))
    .map((file) => file.replace(/\.json$/, ""))
    .sort();

const pidOf = (name: string): number =>
  (JSON.parse(readFileSync(join(site.dataDir, "run", `${name}.json`), "utf8")) as { pid: number }).pid;

/** The addresses of the gateways in the banner. */
const gatewaysIn = (banner: string): string[] =>
  [...banner.matchAll(/^ +(?:gateway +)?(http:\S+:\d+)(?: |$)/gm)].map(([, url]) => url!);

async function ask(url: string, path: string, body?: object): Promise<{ status: number; body: Json }> {
  const init =
    body === undefined
      ? {}
      : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(60_000) });
  return { status: response.status, body: await response.json() };
}

async function start(url: string): Promise<Json> {
  const { status, body } = await ask(url, "/api/session/start", { profile: "echo", wait: 30_000 });
  expect(body, "the start's answer").toMatchObject({ success: true, status: "ready" });
  expect(status).toBe(200);
  return body;
}

const isReady = (url: string, id: string) =>
  until(async () => (await ask(url, `/api/session/${id}`)).body.state === "ready", {
    timeoutMs: PATIENCE_MS,
    everyMs: 100,
    what: `session ${id} is ready`,
  });

async function stopped(local: LocalProcess): Promise<void> {
  local.signal("SIGINT");
  expect(await local.ended()).toBe(0);
  await site.isEmpty();
  expect(running()).toEqual([]);
}

describe("the cluster", () => {
  test("keeps live sessions and serves new ones while each NATS node is killed, and keeps all across a restart", async () => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "false" }, realCluster);
    const banner = (await local.ready(READY_MS)).msg;
    await until(() => running().join() === [...NATS, "livekit", ...SHAPES.control].sort().join(), {
      timeoutMs: READY_MS,
      what: () => `all processes run; running: ${running()}`,
    });
    const urls = gatewaysIn(banner);
    expect(urls).toHaveLength(2);
    const natsUrls = banner.match(/nats:\S+/g) ?? [];
    expect(natsUrls).toHaveLength(3);
    const bus: Bus = await connectNatsBus({
      url: natsUrls.join(","),
      name: "test",
      replicas: 3,
      log: silentLog,
      onLost: () => {},
    });
    cleanUps.push(() => bus.close());

    const live: Json[] = [await start(urls[0]!)];
    const visitor: Visitor = await visit(live[0]);
    await until(() => visitor.hears(), { timeoutMs: PATIENCE_MS, what: "the visitor hears the agent" });
    for (const node of ["nats-1", "nats-2", "nats-3"]) {
      const before = pidOf(node);
      process.kill(before, "SIGKILL");
      // A leader may be missing now, so this start takes longer.
      live.push(await start(urls[live.length % 2]!));
      await until(() => running().includes(node) && pidOf(node) !== before, {
        timeoutMs: PATIENCE_MS,
        what: `${node} runs again`,
      });
      await until(async () => (await ask(urls[0]!, "/api/health")).body.services?.nats?.instances === 3, {
        timeoutMs: PATIENCE_MS,
        everyMs: 200,
        what: "health shows three NATS nodes",
      });
    }
    expect(visitor.isOut(), "the visitor is still in the room").toBe(false);
    for (const { sessionId } of live) await isReady(urls[1]!, sessionId);
    let kept: SessionRecord[] = [];
    // A node that was restarted may answer from its past until it has caught up.
    await until(
      async () => {
        kept = (await bus.kv.entries(sessions)).map(({ value }) => value);
        return kept.length === live.length && kept.every(({ state }) => state === "ready");
      },
      { timeoutMs: PATIENCE_MS, everyMs: 200, what: () => `all sessions are ready: ${JSON.stringify(kept)}` },
    );
    expect(kept.map(({ sessionId: id }) => id).sort()).toEqual(live.map(({ sessionId }) => sessionId).sort());
    await visitor.leave();
    await stopped(local);

    const again = site.start({ LIVEKIT_MOCK_MODE: "true" }, realCluster);
    const [url] = gatewaysIn((await again.ready(READY_MS)).msg);
    for (const { sessionId } of live) expect((await ask(url!, `/api/session/${sessionId}`)).status).toBe(200);
    await stopped(again);
  });

  test.each<[keyof typeof SHAPES, string[]]>([
    ["control", ["gateway-1", "control-1", "control-2"]],
    ["roles", ["gateway-1", "dispatcher-1", "janitor-1"]],
  ])("restarts every killed process in the shape %s, while the second one serves", async (shape, killed) => {
    const local = site.start({ LIVEKIT_MOCK_MODE: "true" }, realCluster, ["--shape", shape]);
    const [, second] = gatewaysIn((await local.ready(READY_MS)).msg);
    await until(() => running().join() === [...NATS, ...SHAPES[shape]].sort().join(), {
      timeoutMs: READY_MS,
      what: () => `all processes run; running: ${running()}`,
    });
    for (const name of killed) {
      const before = pidOf(name);
      process.kill(before, "SIGKILL");
      await start(second!);
      await until(() => running().includes(name) && pidOf(name) !== before, {
        timeoutMs: PATIENCE_MS,
        what: `${name} runs again`,
      });
    }
    await stopped(local);
  });

  test("refuses the data directory of a single server, which refuses that of a cluster", async () => {
    const single = site.start({ LIVEKIT_MOCK_MODE: "true" });
    await single.ready();
    single.signal("SIGTERM");
    expect(await single.ended()).toBe(0);
    const refused = site.start({ LIVEKIT_MOCK_MODE: "true" }, realCluster);
    expect(await refused.ended()).toBe(1);
    expect(refused.records().at(-1)?.msg).toMatch(
      /contains the data of a single NATS \(npm start\).*GREENROOM_DATA_DIR/s,
    );
    expect(existsSync(join(site.dataDir, "nats-1"))).toBe(false);

    const other = await LocalSite.make();
    cleanUps.push(() => other.clean());
    const cluster = other.start({ LIVEKIT_MOCK_MODE: "true" }, realCluster);
    await cluster.logged(/^the NATS cluster is running/, "greenroom", READY_MS);
    cluster.signal("SIGTERM");
    expect(await cluster.ended()).toBe(0);
    const alone = other.start({ LIVEKIT_MOCK_MODE: "true" }, realLocal);
    expect(await alone.ended()).toBe(1);
    expect(alone.records().at(-1)?.msg).toContain(
      "contains the data of a NATS cluster (npm run start:cluster)",
    );
  });

  test("refuses more replicas than nodes before it starts anything", async () => {
    const local = site.start({ GREENROOM_REPLICAS: "5" }, realCluster);
    expect(await local.ended()).toBe(1);
    expect(local.records().at(-1)?.msg).toContain("GREENROOM_REPLICAS is 5, but this cluster has 3 nodes");
    const single = site.start({ GREENROOM_REPLICAS: "3" }, realLocal);
    expect(await single.ended()).toBe(1);
    expect(single.records().at(-1)?.msg).toContain("use npm run start:cluster for 3");
    expect(existsSync(join(site.dataDir, "nats"))).toBe(false);
  });
});
