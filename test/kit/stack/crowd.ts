// Many clients of a gateway that ask again as soon as they are answered, and keep it as busy as it can be.
import { connect, type Socket } from "node:net";

export interface Crowd {
  readonly size: number;
  /** How many answers there were, by their status. */
  readonly answers: ReadonlyMap<number, number>;
  /** So many more come. */
  grow(clients: number): void;
  /** They all go, whatever they were promised. */
  leave(): void;
}

/** Nobody at first. Each who comes has a connection of its own, and sends the same POST on it again and again. */
export function gather(url: string, path: string, body: string): Crowd {
  const { hostname, port, host } = new URL(url);
  const head = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n`;
  // Made once: who asks must need far less time for it than who answers.
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
        askAgainAndAgain(socket, request, answers);
      }
    },
    leave() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function askAgainAndAgain(socket: Socket, request: Buffer, answers: Map<number, number>): void {
  socket.on("error", () => {}); // One that is cut off has nothing more to ask.
  socket.on("connect", () => socket.write(request));
  socket.on("data", (data) => {
    // An answer is a line or two of JSON, so it comes in one piece, and one at a time.
    const status = /^HTTP\/1\.1 (\d+)/.exec(data.toString("latin1"))?.[1];
    if (status === undefined) return;
    answers.set(Number(status), (answers.get(Number(status)) ?? 0) + 1);
    socket.write(request);
  });
}
