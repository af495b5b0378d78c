// The image runs every service by its name, reports health, and drains when it stops.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
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

test("runs the agents of a project with packages of its own, beside the image's files", async () => {
  const container = layOutImage(root, image);
  cleanUps.push(() => container.remove());
  const project = mkdtempSync(join(tmpdir(), "greenroom-project-"));
  cleanUps.push(async () => rmSync(project, { recursive: true }));
  const files = {
    "package.json": '{ "name": "reception", "type": "module" }',
    ".env": "SENTENCE_FROM_ENV=hello",
    "node_modules/own-words/package.json": '{ "name": "own-words", "type": "module", "main": "index.js" }',
    "node_modules/own-words/index.js": 'export const words = "of the project";',
    "src/mine.ts": `
      import { defineAgent, type JobContext, voice } from "@livekit/agents";
      import { words } from "own-words";

      export default defineAgent({
        entry: async (ctx: JobContext) => {
          const session = new voice.AgentSession({});
          await session.start({ agent: new voice.Agent({ instructions: words }), room: ctx.room });
          console.info(process.env.SENTENCE_FROM_ENV + ", " + words);
        },
      });`,
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(project, name)), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  const nats = await startNats();
  cleanUps.push(() => nats.stop());
  const port = await freePort();
  const env = {
    NATS_URL: nats.url,
    LIVEKIT_MOCK_MODE: "true",
    GREENROOM_PORT: String(port),
    GREENROOM_BIND: "127.0.0.1",
    GREENROOM_AGENTS_DIR: join(project, "src"),
  };
  const services = [];
  for (const name of ["gateway", "control", "host"]) services.push(await container.run([name], env));
  const host = services.at(-1)!;
  const api = `http://127.0.0.1:${port}/api`;
  const isWarm = async () => {
    const answer = await fetch(`${api}/health`).catch(() => undefined);
    const health = (await answer?.json()) as { profiles?: { mine?: { warm: number } } } | undefined;
    return (health?.profiles?.mine?.warm ?? 0) > 0;
  };
  await until(isWarm, { timeoutMs: 90_000, everyMs: 500, what: "the project's agent is warm" }).catch(
    async (error: unknown) => {
      throw new Error(`${error}; the host's output:\n${await host.text()}`);
    },
  );
  const answer = await fetch(`${api}/session/start`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ wait: 30_000 }),
  });
  expect(await answer.json()).toMatchObject({ profile: "mine", status: "ready" });
  // The agent is ready before it prints this.
  await until(async () => (await host.text()).includes("hello, of the project"), {
    timeoutMs: 30_000,
    everyMs: 250,
    what: "the agent prints its sentence",
  });
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
  expect(await nobody.text()).toContain("Unknown command nobody.");

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
  // Each role runs twice: alone, and in the control process. The gateway learns of each by a heartbeat.
  const health = await until(
    async () => {
      const now = await get("/api/health");
      const isWhole = RoleName.options.every((name) => now.services[name].instances === 2);
      return isWhole && now.status === "healthy" && now.sessions.pool >= 3 ? now : undefined;
    },
    { timeoutMs: 90_000, everyMs: 250, what: "everything is healthy, and echo has its agents" },
  );
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
