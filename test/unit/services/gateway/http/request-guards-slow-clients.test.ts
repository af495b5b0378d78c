// Slow clients, which are cut while others are served.
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { until } from "../../../../kit/until.ts";
import { becomeReady, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
afterEach(() => rig.stop());

const start = (body: object = { wait: 0 }, headers: Record<string, string> = {}) =>
  rig.post("/api/session/start", body, headers);

describe("a slow client", () => {
  const connections = () =>
    new Promise<number>((resolve) => rig.app.server.getConnections((_error, count) => resolve(count)));

  /** A raw connection, and the text it receives. */
  const dial = async (url: string, ...pieces: string[]) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("error", () => {});
    for (const piece of pieces) socket.write(piece);
    return { socket, text: () => text };
  };

  it("is cut with 408 when it sends headers or a body too slowly, while others are served", async () => {
    rig = await startRig({ env: { GREENROOM_REQUEST_TIMEOUT_MS: "400" } });
    const url = await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const ofHeaders = await dial(url, "GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    const ofBody = await dial(
      url,
      "POST /api/session/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    );
    const drip = setInterval(() => {
      for (const { socket } of [ofHeaders, ofBody]) if (socket.writable) socket.write(" ");
    }, 50);
    expect((await fetch(`${url}/api/health`)).status).toBe(200);
    await until(() => /408/.test(ofHeaders.text()) && /408/.test(ofBody.text()), {
      timeoutMs: 15_000,
      what: () => `both get 408; they got "${ofHeaders.text()}" and "${ofBody.text()}"`,
    });
    clearInterval(drip);
    for (const { socket } of [ofHeaders, ofBody]) socket.destroy();
  }, 30_000);

  it("is cut when it reads no WebSocket pings, unlike one that reads", async () => {
    rig = await startRig({ play: "wait", env: { GREENROOM_SLOW_CLIENT_TIMEOUT_MS: "600" } });
    const url = (await rig.app.listen({ host: "127.0.0.1", port: 0 })).replace("http", "ws");
    const deaf = new WebSocket(`${url}/api/session/ws`);
    const good = new WebSocket(`${url}/api/session/ws`);
    deaf.on("error", () => {});
    await Promise.all([deaf, good].map((one) => new Promise((resolve) => one.once("open", resolve))));
    deaf.pause();
    await until(async () => (await connections()) === 1, { timeoutMs: 15_000, what: "one is cut" });
    expect(good.readyState).toBe(WebSocket.OPEN);
    good.close();
    deaf.terminate();
  }, 30_000);

  it("is cut when it reads no events, even if no further event follows", async () => {
    rig = await startRig({ play: "wait", env: { GREENROOM_SLOW_CLIENT_TIMEOUT_MS: "600" } });
    const url = await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const { body } = await start();
    const { socket } = await dial(
      url,
      `GET /api/session/${body.sessionId}/events HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    socket.pause();
    const good = await dial(url, `GET /api/session/${body.sessionId}/events HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(async () => (await connections()) === 2, { what: "both are connected" });
    // Each change is much smaller than the kernel's buffer; many changes fill it.
    await fillKernelBuffer(body.sessionId);
    await until(async () => (await connections()) === 1, { timeoutMs: 15_000, what: "one is cut" });
    await rig.move(body.sessionId, ...becomeReady({ sessionId: body.sessionId, attempt: 1 }));
    await until(() => good.text().includes('"state":"ready"'), {
      what: "the other client still gets events",
    });
    socket.destroy();
    good.socket.destroy();
  }, 30_000);
});

/** Changes the session's record until a client that doesn't read has unread bytes in the process itself. */
async function fillKernelBuffer(sessionId: string): Promise<void> {
  const { sessions } = await import("../../../../../libs/contracts/buckets.ts");
  const reason = "x".repeat(10_000);
  const unread = () => Math.max(0, ...rig.openSockets().map((socket) => socket.writableLength));
  for (let n = 0; n < 2000 && unread() < 20_000; n++) {
    const entry = await rig.bus.kv.get(sessions, `default.${sessionId}`);
    if (entry === undefined) throw new Error("there is no record");
    const [first] = entry.value.history;
    const value = { ...entry.value, history: [{ ...first!, reason: `${n}${reason}` }] };
    await rig.bus.kv.update(sessions, value, entry.revision);
    await new Promise(setImmediate);
  }
  expect(unread()).toBeGreaterThan(0);
}
