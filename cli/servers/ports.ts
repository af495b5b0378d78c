// Finds free ports.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

/**
 * Below the range of ports for outgoing connections (Linux from 32,768, others from 49,152). A port in that range may
 * be taken between the check and its use.
 */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const TRIES = 50;

/** Ports that this process has given, whose servers may not listen yet, or restart. */
const given = new Set<number>();

/** Keeps `freePort` from giving a port that was chosen in another way. */
export const keepPort = (port: number): void => void given.add(port);

/** A TCP port that was free just now and will probably remain so. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomPort();
    if (given.has(port)) continue;
    // Some servers listen on all addresses, whatever their configuration.
    if ((await isPortFree(port, host)) && (await isPortFree(port, "0.0.0.0"))) {
      given.add(port);
      return port;
    }
  }
  return await listenOnce(0, host);
}

/** A UDP port that was free just now and will probably remain so. */
export async function freeUdpPort(host = "0.0.0.0"): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = await bindUdpOnce(randomPort(), host).catch(() => undefined);
    if (port !== undefined) return port;
  }
  return await bindUdpOnce(0, host);
}

const randomPort = (): number => FIRST_PORT + Math.floor(Math.random() * PORTS);

function bindUdpOnce(wanted: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", reject);
    socket.bind({ port: wanted, address: host, exclusive: true }, () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

/** Whether a server could listen there now. False if this user has no permission. */
export async function isPortFree(port: number, host: string): Promise<boolean> {
  return listenOnce(port, host).then(
    () => true,
    () => false,
  );
}

function listenOnce(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : port));
    });
  });
}
