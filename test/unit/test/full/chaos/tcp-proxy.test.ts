// The proxy of the chaos runs does to connections what it says.

import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startTcpProxy, type TcpProxy } from "../../../../full/chaos/tcp-proxy.ts";
import { until } from "../../../../kit/until.ts";

let echo: net.Server;
let proxy: TcpProxy;
const clients: net.Socket[] = [];
/** What the server was sent, over all connections. */
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
  readonly heard: () => string;
  readonly error: () => string | undefined;
}

async function connect(): Promise<Client> {
  const socket = net.connect(proxy.port, "127.0.0.1");
  clients.push(socket);
  let heard = "";
  let error: string | undefined;
  socket.on("data", (piece) => {
    heard += piece;
  });
  socket.on("error", (problem: NodeJS.ErrnoException) => {
    error = problem.code;
  });
  await once(socket, "connect");
  return { socket, heard: () => heard, error: () => error };
}

const hears = (client: Client, text: string) =>
  until(() => client.heard() === text, { what: () => `"${text}" is heard, and not "${client.heard()}"` });

/** Long enough for anything that would come to come. */
const aMoment = () => new Promise((resolve) => setTimeout(resolve, 150));

test("a good network passes everything on, in both directions", async () => {
  const client = await connect();
  const large = "x".repeat(1_000_000);
  client.socket.write(large);
  await hears(client, large);
});

test("a slow one delays and keeps the order", async () => {
  const client = await connect();
  proxy.set({ delayMs: 100 });
  const since = performance.now();
  client.socket.write("a");
  await until(() => arrived === "a", { what: "a arrives" });
  proxy.set({});
  client.socket.write("b");
  await hears(client, "ab");
  expect(performance.now() - since).toBeGreaterThan(90);
});

test("deaf one way, the other way still works", async () => {
  const client = await connect();
  proxy.set({ oneWay: "down" });
  client.socket.write("question");
  await until(() => arrived === "question", { what: "the question arrives" });
  await aMoment();
  expect(client.heard()).toBe("");
});

test("a black hole swallows without telling, and after it the connection is torn", async () => {
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
  await hears(next, "good");
});

test("half-open lets new ones in to hear nothing, while the old ones go on", async () => {
  const old = await connect();
  old.socket.write("1");
  await hears(old, "1");
  proxy.set({ halfOpen: true });
  const late = await connect();
  late.socket.write("nobody hears");
  old.socket.write("2");
  await hears(old, "12");
  await aMoment();
  expect(late.heard()).toBe("");
});

test("a reset reaches both ends, and the next connection works", async () => {
  const client = await connect();
  client.socket.write("1");
  await hears(client, "1");
  proxy.resetAll();
  await until(() => client.error() === "ECONNRESET", { what: () => `it is reset: ${client.error()}` });
  const next = await connect();
  next.socket.write("2");
  await hears(next, "2");
});

test("a connection that was untouched by a bad moment survives it", async () => {
  const client = await connect();
  proxy.set({ blackhole: true });
  await aMoment();
  proxy.heal();
  client.socket.write("still here");
  await hears(client, "still here");
});

test("a server that closes is passed on to the client", async () => {
  const client = await connect();
  client.socket.write("bye");
  await hears(client, "bye");
  client.socket.end();
  await once(client.socket, "close");
});
