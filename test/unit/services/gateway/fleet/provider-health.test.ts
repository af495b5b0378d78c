// The health of profiles whose agents come from another provider.
import { afterEach, describe, expect, it } from "vitest";
import { sessions } from "../../../../../libs/contracts/buckets.ts";
import type { ServiceName } from "../../../../../libs/contracts/fleet/pool.ts";
import { sessionKey } from "../../../../../libs/contracts/ids.ts";
import { NO_WORKER } from "../../../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { serviceHeartbeats } from "../../../../../libs/contracts/streams.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";
import { until } from "../../../../kit/until.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());

const everyService: ServiceName[] = ["gateway", "dispatcher", "janitor", "providers"];
const health = async () => (await rig.get("/api/health")).body;
const heartbeat = (service: ServiceName) =>
  rig.bus.core.publishTransient(serviceHeartbeats, {
    service,
    instance: `${service}-1`,
    pid: 1,
    status: "running",
  });

describe("a profile of a provider", () => {
  it("reports a provider as failed while its newest session found no worker", async () => {
    rig = await startRig({ env: { GREENROOM_PROVIDERS: "support=livekit:support-agent" } });
    heartbeat("providers");
    const profile = async () => (await health()).profiles.support;
    await until(async () => (await profile()).status === "unknown", { what: "the service runs" });
    const at = (second: number) => `2026-01-31T12:00:0${second}.000Z`;
    const save = (id: string, history: SessionRecord["history"]) =>
      rig.bus.kv.update(sessions, aSession(id, { profile: "support", provider: "livekit", history }), 0);

    await save("a", [
      { state: "joined", at: at(1), attempt: 1 },
      { state: "requested", at: at(2), attempt: 2, reason: `${NO_WORKER} for 1.5 s` },
    ]);
    await until(async () => (await profile()).status === "failed", { what: "no worker is known" });
    expect((await profile()).error).toContain("agent name support-agent");
    await save("b", [{ state: "joined", at: at(3), attempt: 1 }]);
    await until(async () => (await profile()).status === "running", { what: "a worker is known again" });
  });

  it("shows a provider as unknown until a session has got an agent, and again when no record shows it", async () => {
    rig = await startRig({
      env: { GREENROOM_PROVIDERS: "support=livekit:support-agent, other=webhook" },
      hosts: [],
    });
    const profile = async (name = "support") => (await health()).profiles[name];
    expect(await profile()).toMatchObject({ status: "failed", error: expect.stringContaining("npm run") });
    for (const service of everyService) heartbeat(service);
    await until(async () => (await health()).status === "healthy", { what: "it is healthy" });
    expect(await profile()).toMatchObject({
      status: "unknown",
      reason: expect.stringContaining("No worker has taken a job lately"),
    });
    expect((await profile()).reason).toContain("agent name support-agent");
    expect(await profile()).not.toHaveProperty("error");
    expect(await profile("other")).toMatchObject({
      status: "unknown",
      reason: expect.stringContaining("No session has got an agent from this provider lately"),
    });

    const save = (
      id: string,
      history: SessionRecord["history"],
      provider: "livekit" | "webhook" = "livekit",
    ) =>
      rig.bus.kv.update(
        sessions,
        aSession(id, { profile: "support", provider, history, state: history.at(-1)?.state ?? "requested" }),
        0,
      );
    const at = "2026-01-31T12:00:01.000Z";
    await save("waits", [{ state: "dispatched", at, attempt: 1 }]);
    await save("elsewhere", [{ state: "ready", at, attempt: 1 }], "webhook");
    await until(async () => (await profile()).warming === 1, { what: "the sessions are known" });
    expect((await profile()).status).toBe("unknown");
    const saved = await save("taken", [{ state: "joined", at, attempt: 1 }]);
    await until(async () => (await profile()).status === "running", { what: "a worker is known" });
    expect(await profile()).not.toHaveProperty("reason");
    await rig.bus.kv.delete(sessions, sessionKey(aSession("taken")), saved ?? 0);
    await until(async () => (await profile()).status === "unknown", { what: "the record is gone" });
  });
});
