// A single POST to a customer's address, against a real server on this machine.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../libs/runtime/clock.ts";
import { readAllowedTargets } from "../../../../libs/runtime/url-guard.ts";
import { deliver, meaningOf } from "../../../../services/webhooks/deliver.ts";
import { type PostOptions, post, type Resolve } from "../../../../services/webhooks/post.ts";

let server: Server;
let requests: { headers: IncomingMessage["headers"]; body: string; url: string }[];
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  requests = [];
  answer = (response) => response.writeHead(204).end();
  server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    requests.push({ headers: request.headers, body, url: request.url ?? "" });
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const port = () => (server.address() as AddressInfo).port;
const loopback = readAllowedTargets("127.0.0.1");
const none = readAllowedTargets(undefined);
const send = (url: string, options: Partial<PostOptions> = {}) =>
  post(url, "{}", { "x-test": "1" }, { allowed: loopback, timeoutMs: 5000, ...options });

/** A scripted DNS. Each lookup of a name returns the next of its answers. */
function dns(answers: Record<string, string[][]>): { resolve: Resolve; lookups: string[] } {
  const lookups: string[] = [];
  const resolve: Resolve = (host, done) => {
    lookups.push(host);
    const [next, ...later] = answers[host] ?? [];
    if (next === undefined) return done(Object.assign(new Error(`no ${host}`), { code: "ENOTFOUND" }), []);
    if (later.length > 0) answers[host] = later;
    done(
      null,
      next.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  };
  return { resolve, lookups: lookups };
}

describe("post", () => {
  test("sends the body and headers, and returns the status", async () => {
    expect(await send(`http://127.0.0.1:${port()}/hook?a=1`)).toEqual({ status: 204 });
    expect(requests).toMatchObject([{ body: "{}", url: "/hook?a=1", headers: { "x-test": "1" } }]);
  });

  test("follows no redirect", async () => {
    answer = (response) => response.writeHead(302, { location: `http://127.0.0.1:${port()}/secret` }).end();
    const posted = await send(`http://127.0.0.1:${port()}/`);
    expect(posted).toEqual({ status: 302 });
    expect(requests).toHaveLength(1);
    expect(meaningOf(posted)).toMatchObject({ outcome: "failed", status: 302 });
  });

  test("fails when no answer arrives within the timeout", async () => {
    answer = () => {};
    expect(await send(`http://127.0.0.1:${port()}/`, { timeoutMs: 200 })).toEqual({
      status: undefined,
      reason: "no answer within 200 ms",
    });
  });

  test("returns the status of an endless answer, and reads little of its body", async () => {
    let isClosed = false;
    answer = (response) => {
      response.on("close", () => {
        isClosed = true;
      });
      response.writeHead(200);
      const more = () => {
        if (!response.destroyed && response.write("x".repeat(16_384))) setImmediate(more);
        else response.once("drain", more);
      };
      more();
    };
    expect(await send(`http://127.0.0.1:${port()}/`)).toEqual({ status: 200 });
    await expect.poll(() => isClosed).toBe(true);
  });

  test("reports why the connection failed", async () => {
    const free = port();
    await new Promise((resolve) => server.close(resolve));
    expect(await send(`http://127.0.0.1:${free}/`)).toMatchObject({
      status: undefined,
      reason: expect.stringContaining("ECONNREFUSED"),
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  test.each([
    ["120", 120_000],
    ["nonsense", undefined],
    [new Date(Date.now() - 60_000).toUTCString(), 0],
  ])("reads Retry-After: %s", async (header, expected) => {
    answer = (response) => response.writeHead(503, { "retry-after": header }).end();
    const posted = await send(`http://127.0.0.1:${port()}/`);
    expect(posted).toEqual({ status: 503, ...(expected === undefined ? {} : { retryAfterMs: expected }) });
  });
});

describe("post to a forbidden target", () => {
  test("refuses a name that resolves to this machine", async () => {
    const { resolve } = dns({ "hook.example": [["127.0.0.1"]] });
    const posted = await send(`http://hook.example:${port()}/`, { allowed: none, resolve });
    expect(posted).toMatchObject({ status: undefined, reason: expect.stringContaining("a public address") });
    expect(requests).toEqual([]);
  });

  test.each([
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "fe80::1",
    "fd00::1",
    "10.0.0.1",
    "169.254.169.254",
  ])("refuses a name that resolves to %s", async (address) => {
    const { resolve } = dns({ "hook.example": [[address]] });
    const posted = await send(`http://hook.example:${port()}/`, { allowed: none, resolve });
    expect(posted).toMatchObject({ status: undefined, reason: expect.stringContaining("refused") });
  });

  test("refuses a name whose earlier lookup was harmless", async () => {
    const { resolve, lookups } = dns({ "rebind.example": [["127.0.0.2"], ["127.0.0.1"]] });
    const allowed = readAllowedTargets("127.0.0.2");
    const first = await send(`http://rebind.example:${port()}/`, { allowed, resolve });
    const second = await send(`http://rebind.example:${port()}/`, { allowed, resolve });
    // The first request went to an address where nothing listens. The second was not sent.
    expect(first).not.toMatchObject({ reason: expect.stringContaining("refused") });
    expect(second).toMatchObject({ reason: expect.stringContaining("refused") });
    // One lookup for each connection: the checked address is the one that is called.
    expect(lookups).toEqual(["rebind.example", "rebind.example"]);
    expect(requests).toEqual([]);
  });

  test("connects only to the allowed ones of several addresses", async () => {
    const { resolve } = dns({ "two.example": [["10.9.9.9", "127.0.0.1"]] });
    expect(await send(`http://two.example:${port()}/`, { resolve })).toEqual({ status: 204 });
  });

  test("refuses an address in any notation", async () => {
    for (const host of ["127.0.0.1", "2130706433", "0x7f000001", "localhost", "[::1]", "[::ffff:7f00:1]"]) {
      const posted = await send(`http://${host}:${port()}/`, { allowed: none });
      expect(posted).toMatchObject({ status: undefined, reason: expect.stringContaining("refused") });
    }
    expect(requests).toEqual([]);
  });
});

describe("deliver", () => {
  const secret = `whsec_${Buffer.from("a key of two and thirty letters!").toString("base64")}`;
  const message = {
    tenant: "t",
    endpoint: "wh_1",
    about: "session" as const,
    of: "s",
    event: {
      id: "evt_session_s_1",
      type: "session.ready" as const,
      sessionId: "s",
      sequence: 1,
      timestamp: "2026-01-01T00:00:00.000Z",
      data: { profile: "echo", name: "Zoë" },
    },
  };
  const deliverTo = (url: string, previous?: { secret: string; until: string }) =>
    deliver(
      {
        clock: systemClock,
        send: (to, body, headers) => post(to, body, headers, { allowed: loopback, timeoutMs: 5000 }),
      },
      { url, secret, ...(previous === undefined ? {} : { previous: previous }) },
      message,
    );

  test("signs with the previous secret too until that secret expires", async () => {
    const previous = `whsec_${Buffer.from("the key of two and thirty before").toString("base64")}`;
    const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
    await deliverTo(`http://127.0.0.1:${port()}/`, { secret: previous, until: inMs(60_000) });
    await deliverTo(`http://127.0.0.1:${port()}/`, { secret: previous, until: inMs(-1) });
    const verify =
      (key: string, { headers, body }: (typeof requests)[0]) =>
      () =>
        new Webhook(key).verify(body, headers as Record<string, string>);
    const [both, one] = requests as [(typeof requests)[0], (typeof requests)[0]];
    expect(verify(secret, both)()).toEqual(message.event);
    expect(verify(previous, both)()).toEqual(message.event);
    expect(verify(secret, one)()).toEqual(message.event);
    expect(verify(previous, one)).toThrow();
  });

  test("signs as the Standard Webhooks library verifies", async () => {
    expect(await deliverTo(`http://127.0.0.1:${port()}/`)).toEqual({ outcome: "delivered", status: 204 });
    const [{ headers, body }] = requests as [(typeof requests)[0]];
    const verify = (key: string, text: string) =>
      new Webhook(key).verify(text, headers as Record<string, string>);
    expect(verify(secret, body)).toEqual(message.event);
    expect(headers["webhook-id"]).toBe("evt_session_s_1");
    expect(() => verify(secret, body.replace("echo", "ecko"))).toThrow();
    expect(() => verify(`whsec_${Buffer.from("another").toString("base64")}`, body)).toThrow();
  });

  test("treats 410 as the end of the endpoint, unlike any other refusal", () => {
    expect(meaningOf({ status: 410 }).outcome).toBe("gone");
    for (const status of [301, 400, 401, 404, 429, 500, 503])
      expect(meaningOf({ status })).toMatchObject({ outcome: "failed", status });
    expect(meaningOf({ status: 299 }).outcome).toBe("delivered");
  });
});
