// The proxy of chaos runs, and each of its faults.

import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startTcpProxy, type TcpProxy } from "../../../../full/chaos/tcp-proxy.ts";
import { until } from "../../../../kit/until.ts";

let echo: net.Server;
let proxy: TcpProxy;
const clients: net.Socket[] = [];
/** Everything that the server received, over all connections. */
let arrived = "";

beforeEach(async () => {
  arrived = "";
  echo = net.createServer((socket) => {
    socket.on("data", (piece) => {
      arrived += piece;
      socket.write(piece);
    });
    socket.on("error", () => {});
  });
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  proxy = await startTcpProxy({ target: { host: "127.0.0.1", port: (echo.address() as AddressInfo).port } });
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.stop();
  await new Promise((resolve) => echo.close(resolve));
});

interface Client {
  readonly socket: net.Socket;
  readonly received: () => string;
  readonly error: () => string | undefined;
}

async function connect(): Promise<Client> {
  const socket = net.connect(proxy.port, "127.0.0.1");
  clients.push(socket);
  let received = "";
  let error: string | undefined;
  socket.on("data", (piece) => {
    received += piece;
  });
  socket.on("error", (problem: NodeJS.ErrnoException) => {
    error = problem.code;
  });
  await once(socket, "connect");
  return { socket, received: () => received, error: () => error };
}

const receives = (client: Client, text: string) =>
  until(() => client.received() === text, {
    what: () => `"${text}" is heard, and not "${client.received()}"`,
  });

/** Enough time for anything to arrive. */
const aMoment = () => new Promise((resolve) => setTimeout(resolve, 150));

test("forwards everything in both directions without a fault", async () => {
  const client = await connect();
  const large = "x".repeat(1_000_000);
  client.socket.write(large);
  await receives(client, large);
});

test("delays data and keeps its order", async () => {
  const client = await connect();
  proxy.set({ delayMs: 100 });
  const since = performance.now();
  client.socket.write("a");
  await until(() => arrived === "a", { what: "a arrives" });
  proxy.set({});
  client.socket.write("b");
  await receives(client, "ab");
  expect(performance.now() - since).toBeGreaterThan(90);
});

test("blocks one direction only", async () => {
  const client = await connect();
  proxy.set({ oneWay: "down" });
  client.socket.write("question");
  await until(() => arrived === "question", { what: "the question arrives" });
  await aMoment();
  expect(client.received()).toBe("");
});

test("swallows data in a black hole, and then tears the connections", async () => {
  const client = await connect();
  proxy.set({ blackhole: true });
  client.socket.write("lost");
  const late = await connect();
  late.socket.write("lost too");
  await aMoment();
  expect([arrived, client.error(), late.error()]).toEqual(["", undefined, undefined]);
  proxy.heal();
  await until(() => client.error() !== undefined && late.error() !== undefined, { what: "both are torn" });
  const next = await connect();
  next.socket.write("good");
  await receives(next, "good");
});

test("lets new connections in without data when half-open, while old ones work", async () => {
  const old = await connect();
  old.socket.write("1");
  await receives(old, "1");
  proxy.set({ halfOpen: true });
  const late = await connect();
  late.socket.write("nobody hears");
  old.socket.write("2");
  await receives(old, "12");
  await aMoment();
  expect(late.received()).toBe("");
});

test("resets both ends, and lets the next connection work", async () => {
  const client = await connect();
  client.socket.write("1");
  await receives(client, "1");
  proxy.resetAll();
  await until(() => client.error() === "ECONNRESET", { what: () => `it is reset: ${client.error()}` });
  const next = await connect();
  next.socket.write("2");
  await receives(next, "2");
});

test("keeps an idle connection through a fault", async () => {
  const client = await connect();
  proxy.set({ blackhole: true });
  await aMoment();
  proxy.heal();
  client.socket.write("still here");
  await receives(client, "still here");
});

test("closes the client's connection when the server closes", async () => {
  const client = await connect();
  client.socket.write("bye");
  await receives(client, "bye");
  client.socket.end();
  await once(client.socket, "close");
});
