// A join by LiveKit's signal protocol, at servers that answer it in different ways.
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import {
  DisconnectReason,
  JoinResponse,
  LeaveRequest,
  ServerInfo,
  SignalRequest,
  SignalResponse,
} from "@livekit/protocol";
import { describe, expect, onTestFinished, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { joinOnce } from "../../../../libs/livekit/join-once.ts";

/** @param greet what the server does with a new WebSocket; without it, the server has none */
async function serve(greet?: (socket: WebSocket, url: string) => void): Promise<string> {
  const refuse: RequestListener = (_, response) => response.writeHead(403).end();
  const server = createServer(refuse).listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets = greet === undefined ? undefined : new WebSocketServer({ server });
  sockets?.on("connection", (socket, { url }) => greet?.(socket, url ?? ""));
  onTestFinished(() => {
    for (const client of sockets?.clients ?? []) client.terminate();
    server.closeAllConnections();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type Message = ConstructorParameters<typeof SignalResponse>[0];
const send = (socket: WebSocket, message: Message) => socket.send(new SignalResponse(message).toBinary());
const join = (url: string, signal = new AbortController().signal) => joinOnce(url, "the-token", signal);

describe("joinOnce", () => {
  test("joins with the token, returns the facts about the server, and leaves", async () => {
    let asked = "";
    let left: Promise<Buffer> | undefined;
    const url = await serve((socket, path) => {
      asked = path;
      left = once(socket, "message").then(([data]) => data);
      const serverInfo = new ServerInfo({ version: "1.2.3" });
      send(socket, { message: { case: "join", value: new JoinResponse({ serverInfo }) } });
    });
    expect(await join(`${url}/`)).toMatchObject({ version: "1.2.3" });
    expect(asked).toMatch(/^\/rtc\?.*access_token=the-token/);
    expect(SignalRequest.fromBinary((await left) as Buffer).message.case).toBe("leave");
  });

  test("names the status of a server that opens no WebSocket", async () => {
    const url = await serve();
    await expect(join(url)).rejects.toThrow(`the WebSocket ${url}/rtc answered with HTTP status 403`);
  });

  test("fails with the reason when the server refuses the join, hangs up, or is not LiveKit", async () => {
    const leave = new LeaveRequest({ reason: DisconnectReason.JOIN_FAILURE });
    const refusing = await serve((socket) => send(socket, { message: { case: "leave", value: leave } }));
    await expect(join(refusing)).rejects.toThrow("refused the join: JOIN_FAILURE");
    const closing = await serve((socket) => socket.close());
    await expect(join(closing)).rejects.toThrow("closed before the join was complete");
    const other = await serve((socket) => socket.send("hello"));
    await expect(join(other)).rejects.toThrow("does not belong to a LiveKit server");
  });

  test("gives up on a server that is silent, and on one that is gone", async () => {
    const url = await serve(() => {});
    await expect(join(url, AbortSignal.timeout(100))).rejects.toThrow("did not answer in time");
    await expect(join("ws://127.0.0.1:1")).rejects.toThrow(/the WebSocket .* failed: connect ECONNREFUSED/);
  });
});
