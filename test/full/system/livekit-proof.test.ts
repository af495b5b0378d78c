// A host joins a room once before it offers agents.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { sessions } from "../../../libs/contracts/buckets.ts";
import { roomEvents } from "../../../libs/contracts/streams.ts";
import { expectNothingLeft } from "../../kit/checks/nothing-left.ts";
import { startApiOnlyProxy } from "../../kit/servers/api-only-proxy.ts";
import { openScene, PATIENCE_MS, type Scene } from "../../kit/stack/scene.ts";
import type { Json } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

let scene: Scene;
beforeAll(async () => {
  // The prefix also matches the names of Greenroom's own rooms.
  scene = await openScene({ agents: ["quick"], env: { GREENROOM_INBOUND_ROOMS: "s=quick" } });
  await scene.pool("quick", { idle: 3 });
});
afterEach(() => expectNothingLeft(scene));
afterAll(() => scene?.stop());

/** The profile on the host with this process, once it is as expected. */
const profileOn = (pid: number, isExpected: (profile: Json) => boolean, what: string): Promise<Json> =>
  until(
    async () => {
      const profile = (await scene.hosts()).find((host) => host.pid === pid)?.profiles.quick;
      return profile !== undefined && isExpected(profile) ? profile : undefined;
    },
    { timeoutMs: PATIENCE_MS, what },
  );

async function expectStartsElsewhere(pid: number): Promise<void> {
  for (let count = 0; count < 5; count++) {
    const { sessionId, attempt } = await scene.start({ profile: "quick" });
    expect(attempt).toBe(1);
    expect((await scene.slotOf(sessionId))?.host.pid).not.toBe(pid);
    await scene.end(sessionId);
  }
}

describe("a host that starts", () => {
  test("offers no agents if it can't use LiveKit, so no start loses an attempt there", async () => {
    const secret = { LIVEKIT_API_SECRET: "a wrong secret of more than thirty-two letters" };
    const broken = await scene.stack.spawnService("agent-host", secret);
    const profile = await profileOn(broken.pid, () => true, "the host has loaded the file");
    expect(profile).toMatchObject({ warm: 0, hot: 0 });
    await expectStartsElsewhere(broken.pid);
    const failed = await profileOn(
      broken.pid,
      ({ status }) => status === "failed",
      "the host reports the failure",
    );
    expect(failed.error).toContain("this host can't use LiveKit");
    await broken.stop(15_000);
  });

  test("offers no agents if it reaches LiveKit's API but can't join a room, and health shows the reason", async () => {
    const proxy = await startApiOnlyProxy(scene.stack.livekit!.port);
    const broken = await scene.stack.spawnService("agent-host", { LIVEKIT_URL: proxy.url });
    const failed = await profileOn(
      broken.pid,
      ({ status }) => status === "failed",
      "the host reports the failure",
    );
    const reason = `can't use LiveKit at ${proxy.url}: its API accepts the key, but the WebSocket ${proxy.url}/rtc answered with HTTP status 403`;
    expect(failed).toMatchObject({ warm: 0, hot: 0, error: expect.stringContaining(reason) });
    expect((await scene.health()).profiles.quick).toMatchObject({
      status: "running",
      error: expect.stringContaining(reason),
    });
    await expectStartsElsewhere(broken.pid);
    await broken.stop(15_000);
    proxy.stop();
  });

  test("joins one room for a moment before it offers agents, and starts no session there", async () => {
    const seen: string[] = [];
    const stop = await scene.bus.core.subscribe(roomEvents, ({ event, room }) => {
      if (room.startsWith("standby-proof-")) seen.push(event);
    });
    const known = (await scene.bus.kv.entries(sessions)).length;
    const host = await scene.stack.spawnService("agent-host");
    await profileOn(host.pid, ({ warm }) => warm > 0, "the host offers agents");
    await until(() => seen.length >= 3, { timeoutMs: PATIENCE_MS, what: "the room is gone" });
    await stop();
    expect(seen.sort()).toEqual(["participant_connection_aborted", "room_finished", "room_started"]);
    expect((await scene.bus.kv.entries(sessions)).length).toBe(known);
    await host.stop(15_000);
  });
});
