// Many clients of a gateway that repeat a request as soon as it is answered, and so keep the gateway fully busy.
import { connect, type Socket } from "node:net";

export interface Crowd {
  readonly size: number;
  /** The number of answers by HTTP status. */
  readonly answers: ReadonlyMap<number, number>;
  /** Adds clients. */
  grow(clients: number): void;
  /** Closes all connections, whatever is still unanswered. */
  leave(): void;
}

/** Creates an empty crowd. Each client has a connection of its own, on which it repeats the same POST. */
export function gather(url: string, path: string, body: string): Crowd {
  const { hostname, port, host } = new URL(url);
  const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n`;
  // Built once, because a client must need far less CPU time for a request than the gateway.
  const request = Buffer.from(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const answers = new Map<number, number>();
  const sockets: Socket[] = [];
  return {
    get size() {
      return sockets.length;
    },
    answers,
    grow(clients) {
      for (let n = 0; n < clients; n++) {
        const socket = connect(Number(port), hostname);
        sockets.push(socket);
        repeatRequest(socket, request, answers);
      }
    },
    leave() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function repeatRequest(socket: Socket, request: Buffer, answers: Map<number, number>): void {
  socket.on("error", () => {}); // The gateway may cut off a client.
  socket.on("connect", () => socket.write(request));
  socket.on("data", (data) => {
    // An answer is one or two lines of JSON, so each one arrives as one chunk.
    const status = /^HTTP\/1\.1 (\d+)/.exec(data.toString("latin1"))?.[1];
    if (status === undefined) return;
    answers.set(Number(status), (answers.get(Number(status)) ?? 0) + 1);
    socket.write(request);
  });
}
