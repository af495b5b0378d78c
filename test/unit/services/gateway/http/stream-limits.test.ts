// The limits of open event streams and WebSockets.
import { afterEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { until } from "../../../../kit/until.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());

const start = (body: object = { wait: 0 }, headers: Record<string, string> = {}) =>
  rig.post("/api/session/start", body, headers);

describe("limits of event streams and WebSockets", () => {
  const open = async (url: string) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/api/session/ws`);
    return new Promise<{ socket: WebSocket; status: number }>((resolve) => {
      socket.on("open", () => resolve({ socket, status: 101 }));
      socket.on("unexpected-response", (_request, response) =>
        resolve({ socket, status: response.statusCode ?? 0 }),
      );
      socket.on("error", () => {});
    });
  };

  it("allows an address its maximum, and another stream when one closes", async () => {
    rig = await startRig({ play: "wait", env: { GREENROOM_STREAMS_PER_CLIENT: "2" } });
    const url = await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const first = await open(url);
    await open(url);
    expect((await open(url)).status).toBe(429);
    const { body } = await start();
    expect((await rig.get(`/api/session/${body.sessionId}/events`)).body.error).toMatchObject({
      code: "rate_limited",
    });
    first.socket.close();
    await until(async () => (await open(url)).status === 101, { what: "there is room again" });
  });

  it("allows the gateway its maximum", async () => {
    rig = await startRig({ play: "wait", env: { GREENROOM_STREAMS_MAX: "1" } });
    const url = await rig.app.listen({ host: "127.0.0.1", port: 0 });
    expect((await open(url)).status).toBe(101);
    expect((await open(url)).status).toBe(429);
  });
});
