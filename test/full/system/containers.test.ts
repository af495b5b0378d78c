// The image runs every service by its name, reports health, and drains when it stops.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { freePort } from "../../../cli/servers/ports.ts";
import { processNames, RoleName } from "../../../libs/contracts/fleet/pool.ts";
import { readDockerfile } from "../../kit/checks/dockerfile.ts";
import { buildImage, hasBaseImage } from "../../kit/servers/docker-image.ts";
import { startLiveKit, startNats } from "../../kit/servers/servers.ts";
import type { Contained, Container } from "../../kit/stack/contained.ts";
import { layOutImage } from "../../kit/stack/image-tree.ts";
import { until } from "../../kit/until.ts";

const root = join(import.meta.dirname, "../../..");
const image = readDockerfile(readFileSync(join(root, "deploy/Dockerfile"), "utf8"));
const base = process.env.CONTAINER_TEST_BASE_IMAGE ?? image.base;
const hasBase = await hasBaseImage(base);
if (!hasBase) {
  console.error(
    `No Docker engine has the image ${base}, and tests pull none: the Dockerfile is tested without an engine.`,
  );
}

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

describe("the image", () => {
  test("runs every service from the files that the Dockerfile copies, and a stopping host lets its session finish", async () => {
    await expectServices(layOutImage(root, image));
  });

  test.skipIf(!hasBase)(
    "runs every service when Docker builds it, and a stopping host lets its session finish",
    async () => {
      await expectServices(await buildImage(root, base));
    },
    900_000,
  );
});

async function expectServices(container: Container): Promise<void> {
  cleanUps.push(() => container.remove());
  const nats = await startNats();
  cleanUps.push(() => nats.stop());
  const port = await freePort();
  const api = `http://127.0.0.1:${port}`;
  const livekit = await startLiveKit({ webhookUrl: `${api}/api/livekit/webhook` });
  cleanUps.push(() => livekit.stop());
  const env = {
    NATS_URL: nats.url,
    LIVEKIT_URL: livekit.url,
    LIVEKIT_API_KEY: livekit.apiKey,
    LIVEKIT_API_SECRET: livekit.apiSecret,
    GREENROOM_PORT: String(port),
    GREENROOM_BIND: "127.0.0.1",
  };

  const nobody = await container.run(["nobody"], env);
  expect(await nobody.ended()).toBe(2);
  expect(await nobody.text()).toContain("Unknown program nobody. Use one of the services gateway,");

  const running = new Map<string, Contained>();
  for (const name of processNames) running.set(name, await container.run([name], env));
  for (const [name, service] of running) await becomesHealthy(name, service);
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers of any shape.
  const get = async (path: string): Promise<any> => (await fetch(api + path)).json();
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers of any shape.
  const post = async (path: string, body: unknown = {}): Promise<any> => {
    const headers = { "content-type": "application/json" };
    return (await fetch(api + path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };
  const health = await until(
    async () => {
      const now = await get("/api/health");
      return now.status === "healthy" && now.sessions.pool >= 3 ? now : undefined;
    },
    { timeoutMs: 90_000, everyMs: 250, what: "everything is healthy, and echo has its agents" },
  );
  // Each role runs twice: alone, and in the control process.
  for (const name of RoleName.options)
    expect(health.services[name], name).toEqual({ status: "running", instances: 2 });

  const { sessionId } = await post("/api/session/start", { profile: "echo" });
  const stateIs = (state: string) =>
    until(async () => (await get(`/api/session/${sessionId}`)).state === state, {
      timeoutMs: 60_000,
      everyMs: 250,
      what: `${sessionId} is ${state}`,
    });
  await stateIs("ready");

  const host = running.get("agent-host")!;
  await host.terminate();
  await until(
    async () => (await get("/api/hosts")).hosts.some((one: { draining: boolean }) => one.draining),
    {
      timeoutMs: 30_000,
      everyMs: 100,
      what: "the stopping host drains",
    },
  );
  expect(await host.isHealthy()).toBe(true);
  await stateIs("ready");
  await post(`/api/session/${sessionId}/end`);
  expect(await host.ended()).toBe(0);
  running.delete("agent-host");

  for (const service of running.values()) await service.terminate();
  for (const [name, service] of running) expect(await service.ended(), name).toBe(0);
}

const becomesHealthy = (name: string, service: Contained): Promise<unknown> =>
  until(() => service.isHealthy(), {
    timeoutMs: 120_000,
    everyMs: 500,
    what: `the health check of ${name} succeeds`,
  }).catch(async (error: unknown) => {
    throw new Error(`${error}; its output:\n${await service.text()}`);
  });
