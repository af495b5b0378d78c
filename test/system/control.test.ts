// Runs all roles in one control process, and makes one of them fail.
import { randomUUID } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../cli/servers/ports.ts";
import { compiledFile } from "../../libs/runtime/compiled.ts";
import { expectNothingLeft } from "../kit/checks/nothing-left.ts";
import { openScene, PATIENCE_MS, type Scene } from "../kit/stack/scene.ts";
import type { ServiceProcess } from "../kit/stack/service-process.ts";
import type { Json } from "../kit/stack/stack.ts";
import { until } from "../kit/until.ts";

const MAIN = compiledFile("test/kit/fakes/services/control-with-fragile-webhooks.ts");
const fragileFile = join(tmpdir(), `greenroom-fragile-${randomUUID()}`);

let scene: Scene;
let control: ServiceProcess;
let statusUrl: string;

beforeAll(async () => {
  scene = await openScene({ agents: ["quick"], dispatchers: 0, janitors: 0 });
  const port = await freePort();
  statusUrl = `http://127.0.0.1:${port}`;
  const env = { GREENROOM_METRICS_PORT: String(port), FRAGILE_FILE: fragileFile };
  control = await scene.stack.spawnService("control", env, MAIN);
  await scene.pool("quick", { idle: 3 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(async () => {
  rmSync(fragileFile, { force: true });
  await scene?.stop();
});

const roleHealth = async (role: string): Promise<Json> =>
  ((await (await fetch(`${statusUrl}/health`)).json()) as Json).roles[role];

const servicesWhen = (wanted: (services: Json) => boolean, what: string): Promise<Json> =>
  until(
    async () => {
      const { services } = await scene.health();
      return wanted(services) ? services : undefined;
    },
    { timeoutMs: PATIENCE_MS, everyMs: 50, what },
  );

describe("a control process", () => {
  test("serves a session with every role", async () => {
    const services = await servicesWhen(
      (seen) => Object.values<Json>(seen).every(({ status }) => status === "running"),
      "every service runs",
    );
    expect(services.webhooks).toEqual({ status: "running", instances: 1 });
    const { sessionId } = await scene.start({ profile: "quick" });
    expect((await scene.end(sessionId)).endedReason).toBe("completed");
  });

  test("keeps serving sessions while its webhooks role is down, and restarts that role", async () => {
    writeFileSync(fragileFile, "");
    const { webhooks } = await servicesWhen(
      ({ webhooks: seen }) => seen.status === "failed",
      "webhooks failed",
    );
    expect(webhooks).toMatchObject({ instances: 0, reason: "FRAGILE_FILE exists" });
    const { sessionId } = await scene.start({ profile: "quick" });
    expect(await roleHealth("webhooks")).toMatchObject({
      status: "failed",
      reason: "FRAGILE_FILE exists",
    });
    expect(await roleHealth("dispatcher")).toEqual({ status: "running", restarts: 0 });
    expect((await scene.end(sessionId)).endedReason).toBe("completed");

    rmSync(fragileFile);
    await servicesWhen(({ webhooks: seen }) => seen.status === "running", "webhooks run again");
    const { status, restarts } = await roleHealth("webhooks");
    expect([status, restarts > 0]).toEqual(["running", true]);
    expect(control.hasEnded).toBe(false);
  });
});
