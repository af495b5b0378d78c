// Live updates of sessions: server-sent events and the WebSocket.
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { sessions } from "../../../../../libs/contracts/buckets.ts";
import { until } from "../../../../kit/until.ts";
import { becomeReady, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
let url: string;
beforeEach(async () => {
  rig = await startRig({ play: "wait" });
  url = await rig.app.listen({ host: "127.0.0.1", port: 0 });
});
afterEach(() => rig.stop());

const start = async (body: object = { wait: 0 }): Promise<string> =>
  (await rig.post("/api/session/start", body)).body.sessionId;
const makeReady = (id: string) => rig.move(id, ...becomeReady({ sessionId: id, attempt: 1 }));

interface Event {
  readonly id?: string;
  readonly event?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at events of any shape.
  readonly data?: any;
}

/** Reads a whole event stream, and calls `see` for each event. */
async function readEvents(
  id: string,
  headers: Record<string, string> = {},
  see: (event: Event) => void = () => {},
) {
  const response = await fetch(`${url}/api/session/${id}/events`, { headers });
  const events: Event[] = [];
  let text = "";
  for await (const piece of response.body ?? []) {
    text += Buffer.from(piece).toString();
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = Object.fromEntries(
        text
          .slice(0, end)
          .split("\n")
          .filter((line) => !line.startsWith(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      text = text.slice(end + 2);
      if (fields.data === undefined) continue;
      const event = { ...fields, data: JSON.parse(fields.data) } as Event;
      events.push(event);
      see(event);
    }
  }
  return { response, events };
}

describe("GET /api/session/:id/events", () => {
  it("begins with the present state, sends each change, and ends after ended", async () => {
    const id = await start();
    const { response, events } = await readEvents(id, {}, ({ data }) => {
      if (data.state === "requested") void makeReady(id);
      if (data.state === "ready") void rig.post(`/api/session/${id}/end`);
    });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const states = events.map(({ data }) => data.state);
    expect(states[0]).toBe("requested");
    expect(states).toContain("ready");
    expect(states.at(-1)).toBe("ended");
    const revisions = events.map(({ id }) => Number(id));
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    expect(new Set(revisions).size).toBe(revisions.length);
    expect(events.every(({ event }) => event === "state")).toBe(true);
  });

  it("sends only the last state of an ended session, and nothing to a client that has seen it", async () => {
    const id = await start();
    await rig.post(`/api/session/${id}/end`);
    const { events } = await readEvents(id);
    expect(events.map(({ data }) => data.state)).toEqual(["ended"]);
    const again = await readEvents(id, { "last-event-id": String(events[0]?.id) });
    expect(again.response.status).toBe(204);
  });

  it("does not repeat events to a client that reconnects", async () => {
    const id = await start();
    await until(async () => (await rig.get(`/api/session/${id}`)).body.queue, { what: "it is known" });
    const seen: Event[] = [];
    const first = readEvents(id, {}, (event) => seen.push(event));
    const known = await until(() => seen[0]?.id, { what: "the present state came" });
    const second = readEvents(id, { "last-event-id": known });
    await rig.post(`/api/session/${id}/end`);
    expect((await first).events.map(({ data }) => data.state)).toEqual(["requested", "ended"]);
    expect((await second).events.map(({ data }) => data.state)).toEqual(["ended"]);
  });

  it("returns 404 for an unknown session, in the shape of every error", async () => {
    const response = await fetch(`${url}/api/session/s_nobody/events`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ success: false, error: { code: "not_found" } });
  });

  it("ends with a reason when the gateway stops", async () => {
    const id = await start();
    const seen: Event[] = [];
    const reading = readEvents(id, {}, (event) => seen.push(event));
    await until(() => seen.length > 0, { what: "the present state came" });
    await rig.app.close();
    const { events } = await reading;
    expect(events.at(-1)).toMatchObject({ event: "closing", data: { code: "shutting_down" } });
  });
});

const connections = () =>
  new Promise<number>((resolve) => rig.app.server.getConnections((_error, count) => resolve(count)));

describe("a client that does not read", () => {
  it("is cut from the event stream before its backlog grows without bound", async () => {
    const id = await start();
    const entry = await until(() => rig.bus.kv.get(sessions, `default.${id}`), { what: "there is a record" });
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.pause();
    socket.on("error", () => {});
    socket.write(`GET /api/session/${id}/events HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(async () => (await connections()) === 1, { what: "it is connected" });
    let { revision } = entry;
    // The sockets of both sides buffer megabytes, and a busy machine skips revisions.
    const reason = "x".repeat(15_000);
    for (let i = 0; i < 5000 && (await connections()) > 0; i++) {
      const value = { ...entry.value, history: [{ ...entry.value.history[0]!, reason: `${i}${reason}` }] };
      revision = (await rig.bus.kv.update(sessions, value, revision)) ?? 0;
    }
    expect(await connections()).toBe(0);
    socket.destroy();
  }, 20_000);

  it("is cut from the WebSocket as well", async () => {
    const id = await start();
    const client = await new Client().open();
    client.socket.on("error", () => {});
    client.socket.pause();
    for (let i = 0; i < 400 && (await connections()) > 0; i++) {
      for (let n = 0; n < 100; n++) client.send({ type: "follow", sessionId: id });
      await new Promise(setImmediate);
    }
    await until(async () => (await connections()) === 0, { what: "the client is cut" });
    client.socket.terminate();
  }, 20_000);
});

class Client {
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at messages of any shape.
  readonly messages: any[] = [];
  readonly socket: WebSocket;
  closed: { code: number; reason: string } | undefined;

  constructor(headers: Record<string, string> = {}) {
    this.socket = new WebSocket(`${url.replace("http", "ws")}/api/session/ws`, { headers });
    this.socket.on("message", (data) => this.messages.push(JSON.parse(data.toString())));
    this.socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
  }

  async open(): Promise<this> {
    await new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
    });
    return this;
  }

  send(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** The first message that matches. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at messages of any shape.
  receives(matches: (message: any) => boolean): Promise<any> {
    return until(() => this.messages.find(matches), {
      what: () => `a message matches; there were ${JSON.stringify(this.messages)}`,
    });
  }
}

describe("WebSocket /api/session/ws", () => {
  it("starts a session, and sends the token when the session becomes ready later", async () => {
    const client = await new Client().open();
    client.send({ type: "start", requestId: "r1", userId: "u1", wait: 0 });
    const started = await client.receives(({ requestId }) => requestId === "r1");
    expect(started).toMatchObject({ type: "session", status: "starting" });
    await makeReady(started.sessionId);
    const ready = await client.receives(({ state }) => state === "ready");
    expect(ready).toMatchObject({
      sessionId: started.sessionId,
      identity: "u1",
      room: `standby-${started.sessionId}`,
    });
    expect(ready.token).toBeTypeOf("string");
    client.send({ type: "end", requestId: "r2", sessionId: started.sessionId });
    expect(await client.receives(({ requestId }) => requestId === "r2")).toMatchObject({ status: "ended" });
    await client.receives(({ state }) => state === "ended");
    expect(client.messages.filter(({ state }) => state === "ended")).toHaveLength(1);
  });

  it("follows another client's session, without its token", async () => {
    const id = await start();
    const client = await new Client().open();
    client.send({ type: "follow", requestId: "f", sessionId: id });
    expect(await client.receives(({ requestId }) => requestId === "f")).toMatchObject({
      sessionId: id,
      state: "requested",
    });
    await makeReady(id);
    const ready = await client.receives(({ state }) => state === "ready");
    expect(ready).not.toHaveProperty("token");
  });

  it("answers each invalid message with an error that names the fault, and stays open", async () => {
    const client = await new Client().open();
    client.send("{");
    client.send("[]");
    client.send({ type: "dance", requestId: "a" });
    client.send({ type: "start", requestId: "b", foo: 1 });
    client.send({ type: "follow", requestId: "c", sessionId: "a b" });
    client.send({ type: "end", requestId: "d", sessionId: "s_nobody" });
    client.send(`{"type":"start","metadata":{"a":${"[".repeat(20_000)}${"]".repeat(20_000)}}}`);
    client.send({ type: "ping", requestId: "p" });
    await client.receives(({ requestId }) => requestId === "d");
    await client.receives(({ type }) => type === "pong");
    const errors = client.messages.filter(({ type }) => type === "error");
    expect(errors).toHaveLength(7);
    const codeOf = (id: string) => errors.find(({ requestId }) => requestId === id)?.error.code;
    expect(["a", "b", "c", "d"].map(codeOf)).toEqual([
      "invalid_request",
      "invalid_request",
      "invalid_request",
      "not_found",
    ]);
    expect(errors.find(({ requestId }) => requestId === "b")?.error.message).toContain("foo");
  });

  it("refuses pages of other addresses, which CORS would not", async () => {
    const statusOf = (origin: string) =>
      new Promise((resolve) => {
        const { socket } = new Client({ origin });
        socket.on("unexpected-response", (_request, response) => resolve(response.statusCode));
        socket.on("open", () => resolve(101));
        socket.on("error", () => {});
      });
    expect(await statusOf("http://evil.example")).toBe(403);
    expect(await statusOf("http://localhost:3000")).toBe(101);
    expect(await statusOf(url)).toBe(101);
  });

  it("answers a plain GET with 400", async () => {
    expect(await rig.get("/api/session/ws")).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request" } },
    });
  });

  it("closes with a reason when the gateway stops", async () => {
    const client = await new Client().open();
    await rig.app.close();
    await until(() => client.closed !== undefined, { what: "the socket is closed" });
    expect(client.closed).toEqual({ code: 1001, reason: "the gateway is stopping" });
  });
});
