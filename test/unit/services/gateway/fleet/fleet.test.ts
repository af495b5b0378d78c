// Health, pools, hosts, LiveKit's webhooks, the OpenAPI document and the page.
import { createHash } from "node:crypto";
import { AccessToken } from "livekit-server-sdk";
import { afterEach, describe, expect, it } from "vitest";
import { hosts, pools } from "../../../../../libs/contracts/buckets.ts";
import type { RoomEvent, ServiceName } from "../../../../../libs/contracts/fleet/pool.ts";
import { roomEvents, serviceHeartbeats } from "../../../../../libs/contracts/streams.ts";
import { startHeartbeat } from "../../../../../libs/fleet/heartbeat.ts";
import { connectLiveKit } from "../../../../../libs/livekit/connect.ts";
import { systemClock } from "../../../../../libs/runtime/clock.ts";
import { until } from "../../../../kit/until.ts";
import { aHost, type Rig, type RigOptions, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
const start = async (options?: RigOptions) => {
  rig = await startRig(options);
};
afterEach(() => rig.stop());

const health = async () => (await rig.get("/api/health")).body;
const heartbeat = (
  service: ServiceName,
  status: "running" | "failed" | "stopped" = "running",
  reason?: string,
) =>
  rig.bus.core.publishTransient(serviceHeartbeats, {
    service,
    instance: `${service}-1`,
    pid: 1,
    status,
    ...(reason === undefined ? {} : { reason }),
  });
const everyService: ServiceName[] = ["gateway", "dispatcher", "agent-host", "janitor"];

describe("GET /api/health", () => {
  it("adds up sessions, agents, statistics and capacity of all hosts", async () => {
    const second = aHost(
      { echo: { warm: 1, hot: 0, busy: 3 } },
      {
        hostId: "host-2",
        maxAgents: 10,
        stats: { spawned: 7, assigned: 3, lost: 0, unhandledRejections: 0 },
      },
    );
    await start({ hosts: [aHost(), second] });
    await rig.post("/api/session/start", {});
    rig.setPlay("wait");
    await rig.post("/api/session/start", { wait: 0 });
    await until(async () => (await health()).sessions.total === 2, { what: "both are known" });
    expect(await health()).toMatchObject({
      success: true,
      sessions: { ready: 1, starting: 1, pool: 4, total: 2 },
      stats: { totalSpawned: 12, totalAssigned: 5, totalLost: 1 },
      capacity: { current: 3, max: 60, available: 57 },
      profiles: { echo: { status: "running", warm: 3, hot: 1, busy: 3, max: 100 } },
      defaultProfile: "echo",
    });
  });

  it("shows a profile whose file is loading, and for how long, also among the pools", async () => {
    await start({ hosts: [aHost({ echo: { status: "stopped", loadingForMs: 1500 } })] });
    expect((await health()).profiles.echo).toMatchObject({ status: "loading", loadingForMs: 1500 });
    expect((await rig.get("/api/pools")).body.pools).toMatchObject([{ profile: "echo", loadingForMs: 1500 }]);
  });

  it("is healthy when every service sends heartbeats and a profile runs", async () => {
    await start();
    for (const service of everyService) heartbeat(service);
    await until(async () => (await health()).status === "healthy", { what: "it is healthy" });
    const { services } = await health();
    expect(services.dispatcher).toEqual({ status: "running", instances: 1 });
    expect(services.nats).toEqual({ status: "running", instances: 1 });
  });

  it("reports the store's error until a record is saved again", async () => {
    await start();
    for (const service of everyService) heartbeat(service);
    await until(async () => (await health()).status === "healthy", { what: "it is healthy" });
    rig.server.setFaults({ refuse: 1 });
    const { status, body } = await rig.post("/api/session/start", {});
    expect(status).toBe(503);
    expect((await health()).services.nats).toEqual({
      status: "failed",
      instances: 0,
      reason: body.error.message,
    });
    expect((await health()).status).toBe("unhealthy");
    rig.server.setFaults({ refuse: 0 });
    expect((await rig.post("/api/session/start", {})).status).toBe(200);
    expect((await health()).services.nats).toEqual({ status: "running", instances: 1 });
  });

  it("is degraded without a janitor, and unhealthy without a dispatcher", async () => {
    await start();
    for (const service of everyService) heartbeat(service);
    await until(async () => (await health()).status === "healthy", { what: "it is healthy" });
    heartbeat("janitor", "stopped");
    await until(async () => (await health()).status === "degraded", { what: "it is degraded" });
    heartbeat("dispatcher", "failed", "it exits at once");
    await until(async () => (await health()).status === "unhealthy", { what: "it is unhealthy" });
    expect((await health()).services.dispatcher).toEqual({
      status: "failed",
      instances: 0,
      reason: "it exits at once",
    });
  });

  it("counts a silent service as stopped", async () => {
    await start();
    heartbeat("janitor");
    await until(async () => (await health()).services.janitor.status === "running", { what: "it runs" });
    await until(async () => (await health()).services.janitor.status === "stopped", {
      what: "it counts as stopped",
      timeoutMs: 8000,
      everyMs: 200,
    });
  }, 12_000);

  it("shows the first heartbeat and a stop immediately", async () => {
    await start();
    const stop = startHeartbeat(rig.bus, systemClock, { service: "janitor", instance: "janitor-x" });
    await until(async () => (await health()).services.janitor.status === "running", { what: "it runs" });
    stop();
    await until(async () => (await health()).services.janitor.status === "stopped", { what: "it stopped" });
  });

  it("gives the reason why a profile is disabled, and defaults to one that runs", async () => {
    const profiles = {
      assistant: { status: "disabled" as const, error: "OPENAI_API_KEY must be set", warm: 0, hot: 0 },
      echo: {},
    };
    await start({ hosts: [aHost(profiles)] });
    const answer = await health();
    expect(answer.profiles.assistant).toMatchObject({
      status: "disabled",
      error: "OPENAI_API_KEY must be set",
    });
    expect(answer.defaultProfile).toBe("echo");
  });

  it("reports that LiveKit is disabled, simulated or unreachable", async () => {
    await start({ livekit: null });
    expect((await health()).services.livekit).toMatchObject({ status: "disabled" });
    await rig.stop();
    await start();
    expect((await health()).services.livekit.reason).toContain("simulated");
    await rig.stop();
    const real = connectLiveKit({
      LIVEKIT_URL: "ws://127.0.0.1:1",
      LIVEKIT_PUBLIC_URL: undefined,
      LIVEKIT_API_KEY: "key",
      LIVEKIT_API_SECRET: "secret-secret-secret-secret-secret",
      LIVEKIT_MOCK_MODE: false,
    });
    await start({ livekit: real ?? null });
    expect((await health()).services.livekit).toMatchObject({ status: "failed" });
    expect((await health()).status).toBe("unhealthy");
  });

  it("has a readiness and a liveness probe", async () => {
    await start();
    expect((await rig.get("/readyz")).status).toBe(200);
    expect((await rig.get("/livez")).status).toBe(200);
  });
});

describe("pools over HTTP", () => {
  const target = { profile: "echo", min: 3, hot: 2, max: 8, perProcess: 4, source: "file" as const };

  it("lists target and present agents", async () => {
    await start({ hosts: [aHost(), aHost({ echo: { warm: 0, hot: 1, busy: 4 } }, { hostId: "host-2" })] });
    expect((await rig.get("/api/pools")).body.pools).toEqual([
      {
        profile: "echo",
        target: null,
        present: { warm: 2, hot: 2, warming: 0, busy: 4 },
        hosts: 2,
        versions: [],
      },
    ]);
    await rig.bus.kv.update(pools, target, 0);
    const { profile: _, ...numbers } = target;
    expect((await rig.get("/api/pools")).body.pools[0].target).toEqual(numbers);
  });

  it("resizes a pool for the whole fleet, and limits hot agents by the size", async () => {
    await start();
    await rig.bus.kv.update(pools, target, 0);
    const smaller = await rig.post("/api/pool/resize", { size: 1 });
    expect(smaller).toMatchObject({ status: 200, body: { success: true, pool: { profile: "echo" } } });
    expect((await rig.bus.kv.get(pools, "echo"))?.value).toEqual({
      ...target,
      min: 1,
      hot: 1,
      source: "api",
    });
    await rig.post("/api/pool/resize", { size: 5, hot: 4, profile: "echo" });
    expect((await rig.bus.kv.get(pools, "echo"))?.value).toMatchObject({ min: 5, hot: 4, max: 8 });
  });

  it("applies concurrent resizes one after the other", async () => {
    await start();
    await rig.bus.kv.update(pools, target, 0);
    const answers = await Promise.all([1, 2, 3, 4].map((size) => rig.post("/api/pool/resize", { size })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(rig.server.written(pools)).toHaveLength(5);
  });

  it("sets, shows and removes a canary, which a resize keeps", async () => {
    const hosts = [
      aHost({ echo: { version: "v2" } }, { hostId: "host-2" }),
      aHost({ echo: { version: "v1" } }),
      aHost({ echo: {} }, { hostId: "host-3" }),
    ];
    await start({ hosts });
    await rig.bus.kv.update(pools, target, 0);
    const set = (body: object, profile = "echo") => rig.put(`/api/pools/${profile}/canary`, body);
    const canary = { version: "v2", share: 0.05 };
    const answer = await set(canary);
    expect(answer).toMatchObject({
      status: 200,
      body: { pool: { target: { canary }, versions: ["v1", "v2"] } },
    });
    expect(answer.body.message).toBe('5 % of the new sessions of "echo" prefer version v2.');
    expect((await set({ version: "v3", share: 1 })).body.message).toContain("No host has this version now.");
    await set(canary);
    await rig.post("/api/pool/resize", { size: 1 });
    expect((await rig.get("/api/pools")).body.pools[0]).toMatchObject({ target: { min: 1, canary } });
    expect((await health()).profiles.echo.versions).toEqual(["v1", "v2"]);

    for (const wrong of [{ share: 1 }, { version: "v2", share: 1.1 }, { version: "", share: 0 }])
      expect((await set(wrong)).status).toBe(400);
    expect((await set(canary, "nobody")).body.error.code).toBe("unknown_profile");

    const removed = await rig.remove("/api/pools/echo/canary");
    expect(removed).toMatchObject({ status: 200, body: { message: '"echo" has no canary.' } });
    expect((await rig.bus.kv.get(pools, "echo"))?.value).not.toHaveProperty("canary");
  });

  it("rejects a size above the maximum, naming it, and an unknown profile", async () => {
    await start({ hosts: [aHost({ echo: {}, tutor: {} })] });
    await rig.bus.kv.update(pools, target, 0);
    const large = await rig.post("/api/pool/resize", { size: 9 });
    expect(large.status).toBe(400);
    expect(large.body.error.message).toContain("8");
    expect((await rig.post("/api/pool/resize", { size: 1, hot: 2 })).status).toBe(400);
    expect((await rig.post("/api/pool/resize", {})).status).toBe(400);
    expect((await rig.post("/api/pool/resize", { size: -1 })).status).toBe(400);
    expect((await rig.post("/api/pool/resize", { size: 1, profile: "x" })).body.error.code).toBe(
      "unknown_profile",
    );
    const unset = await rig.post("/api/pool/resize", { size: 1, profile: "tutor" });
    expect(unset.body.error.code).toBe("profile_unavailable");
  });
});

describe("GET /api/hosts", () => {
  it("lists hosts with their processes and slots, while they are registered", async () => {
    const processes = [
      {
        id: "process-1",
        profile: "echo",
        pid: 42,
        memoryMb: 120,
        slots: [{ id: "slot-1", state: "busy" as const, sessionId: "s_1", attempt: 1 }],
      },
    ];
    await start({ hosts: [aHost({ echo: {} }, { processes: processes })] });
    const { body } = await rig.get("/api/hosts");
    expect(body.hosts).toEqual([{ ...aHost({ echo: {} }), processes: processes }]);
    const entry = await rig.bus.kv.get(hosts, "host-1");
    await rig.bus.kv.delete(hosts, "host-1", entry?.revision ?? 0);
    await until(async () => (await rig.get("/api/hosts")).body.hosts.length === 0, { what: "it is gone" });
  });
});

describe("POST /api/livekit/webhook", () => {
  const body = JSON.stringify({
    event: "participant_left",
    id: "EV_1",
    room: { name: "session-s_1", sid: "RM_1" },
    participant: { identity: "bob" },
    fieldOfAnotherVersion: 1,
  });

  async function signed(payload: string, secret?: string): Promise<Record<string, string>> {
    const { apiKey = "", apiSecret = "" } = rig.livekit ?? {};
    const token = new AccessToken(apiKey, secret ?? apiSecret);
    token.sha256 = createHash("sha256").update(payload).digest("base64");
    return { "content-type": "application/webhook+json", authorization: await token.toJwt() };
  }

  it("publishes a room event when the signature is valid", async () => {
    await start();
    const events: RoomEvent[] = [];
    await rig.bus.core.subscribe(roomEvents, (event) => events.push(event));
    const reply = await rig.app.inject({
      method: "POST",
      url: "/api/livekit/webhook",
      headers: await signed(body),
      payload: body,
    });
    expect(reply.statusCode).toBe(200);
    await until(() => events.length > 0, { what: "the event arrived" });
    expect(events).toEqual([{ event: "participant_left", room: "session-s_1", identity: "bob" }]);
  });

  it("returns 401 without a signature, with a wrong one, and with another body's", async () => {
    await start();
    const events: RoomEvent[] = [];
    await rig.bus.core.subscribe(roomEvents, (event) => events.push(event));
    const type = { "content-type": "application/webhook+json" };
    for (const [headers, payload] of [
      [type, body],
      [{ ...type, authorization: "nonsense" }, body],
      [await signed(body, "another-secret-another-secret-another"), body],
      [await signed(body), body.replace("bob", "eve")],
      [type, "{"],
    ] as const) {
      const reply = await rig.app.inject({ method: "POST", url: "/api/livekit/webhook", headers, payload });
      expect(reply.json()).toMatchObject({ success: false, error: { code: "unauthorized" } });
      expect(reply.statusCode).toBe(401);
    }
    expect(events).toEqual([]);
  });
});

describe("GET /openapi.json and /", () => {
  it("returns an OpenAPI 3.1 document without dangling references", async () => {
    await start();
    const { body } = await rig.get("/openapi.json");
    expect(body.openapi).toMatch(/^3\.1/);
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining([
        "/api/session/start",
        "/api/session/{id}",
        "/api/livekit/token",
        "/api/health",
      ]),
    );
    const refs = [...JSON.stringify(body).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref ?? "");
    expect(refs.length).toBeGreaterThan(10);
    for (const ref of refs) {
      expect(Object.keys(body.components.schemas)).toContain(ref.replace("#/components/schemas/", ""));
    }
    const start_ = body.paths["/api/session/start"].post;
    expect(Object.keys(start_.responses)).toEqual(expect.arrayContaining(["200", "202", "4XX"]));
  });

  it("serves a page that loads from the gateway and connects to LiveKit only", async () => {
    await start();
    const page = await rig.get("/");
    expect(page.status).toBe(200);
    for (const id of ["talk", "stop", "state", "agent-state", "transcript", "times", "profile"]) {
      expect(page.body).toContain(`id="${id}"`);
    }
    const policy = String(page.headers["content-security-policy"]);
    expect(policy).toContain("default-src 'self'");
    expect(policy).toContain("connect-src 'self' ws://simulated.invalid http://simulated.invalid");
    expect(policy).not.toContain("unsafe");
    const foreign = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].filter(
      ([, address]) => !address?.startsWith("/"),
    );
    expect(foreign).toEqual([]);
    for (const path of [
      "/page.js",
      "/style.css",
      "/icon.svg",
      "/docs",
      "/docs/static/swagger-ui-bundle.js",
      "/vendor/livekit-client.esm.mjs",
    ]) {
      expect({ path, status: (await rig.get(path)).status }).toEqual({ path, status: 200 });
    }
  });
});
