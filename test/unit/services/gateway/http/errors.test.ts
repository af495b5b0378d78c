// Answers to faulty requests: always the one error shape, never a 5xx.
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { errorTable } from "../../../../../libs/contracts/errors.ts";
import { ErrorAnswer } from "../../../../../libs/contracts/sessions/http.ts";
import { until } from "../../../../kit/until.ts";
import { type Reply, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await startRig();
});
afterEach(() => rig.stop());

const json = { "content-type": "application/json" };
const START = "/api/session/start";

async function inject(method: string, url: string, headers: object = {}, payload?: string): Promise<Reply> {
  const reply = await rig.app.inject({
    method: method as "GET",
    url,
    headers: headers as Record<string, string>,
    ...(payload === undefined ? {} : { payload }),
  });
  return { status: reply.statusCode, headers: reply.headers, body: reply.json() };
}

/** Checks an answer against the error shape and the error table. */
function expectError({ status, body, headers }: Reply, code: keyof typeof errorTable, message: RegExp): void {
  expect(ErrorAnswer.parse(body)).toEqual(body);
  expect({ code: body.error.code, status }).toEqual({ code, status: errorTable[code].http });
  expect(body.error.retryable).toBe(errorTable[code].retryable);
  expect(body.error.message).toMatch(message);
  expect(body.error.traceId).toBe(headers["x-request-id"]);
}

const nested = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;

describe("a request body", () => {
  it.each([
    ["without JSON", "{bad", /not valid JSON/],
    ["with an incomplete object", '{"userId":"a', /not valid JSON/],
    ["of null", "null", /expected object, received null/],
    ["with a list", "[]", /expected object, received array/],
    ["with a string", '"x"', /expected object/],
    ["with an unknown field", '{"userID":"a"}', /userID/],
    ["with a prototype", '{"__proto__":{"a":1}}', /not valid JSON/],
    ["with a wrong type", '{"userId":5}', /body\.userId.*string/],
    ["with an empty user", '{"userId":""}', /body\.userId.*empty/],
    ["with too long a wait", '{"wait":30001}', /body\.wait.*30000/],
    ["with a fractional wait", '{"wait":1.5}', /body\.wait.*int/],
    ["with an invalid profile", '{"profile":"a b"}', /body\.profile: A profile name may hold/],
    ["with control characters", '{"userName":"a\\u0000b"}', /body\.userName.*control/],
    ["with metadata other than an object", '{"metadata":[1]}', /body\.metadata/],
    [
      "with too large metadata",
      `{"metadata":{"a":"${"é".repeat(262_142)}"}}`,
      /body\.metadata.*524,288 bytes/,
    ],
    ["with deep nesting", `{"metadata":{"a":${nested}}}`, /nested too deeply/],
    ["with a reserved room", '{"room":"standby-1"}', /body\.room.*standby-/],
    ["with an agent's identity", '{"userId":"agent-s_1-1"}', /body\.userId.*agent-/],
  ])("is rejected with 400 and a reason (%s)", async (_body, payload, message) => {
    expectError(await inject("POST", START, json, payload), "invalid_request", message);
    expect(rig.events()).toEqual([]);
  });

  it("is rejected with 415 unless it is JSON", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      const reply = await inject("POST", START, { "content-type": type }, "a=b");
      expectError(reply, "unsupported_media_type", /application\/json/);
    }
  });

  it.each([
    [START, 2 * 1024 * 1024],
    ["/api/token", 65_536],
  ])("is rejected with 413 when it is too large (%s)", async (url, bytes) => {
    const payload = JSON.stringify({ userName: "x".repeat(bytes) });
    expectError(await inject("POST", url, json, payload), "payload_too_large", /GREENROOM_BODY_LIMIT_BYTES/);
  });
});

describe("an address", () => {
  it("is 404 when unknown", async () => {
    expectError(await inject("GET", "/api/nope"), "not_found", /openapi\.json/);
    expectError(await inject("GET", "/../../etc/passwd"), "not_found", /No route/);
    expectError(await inject("GET", "/vendor/package.json"), "not_found", /No route/);
  });

  it("is 405 with Allow when it exists with another method", async () => {
    const put = await inject("PUT", "/api/sessions", json, "{}");
    expectError(put, "method_not_allowed", /GET.*not PUT/);
    expect(put.headers.allow).toBe("GET, HEAD");
    const remove = await inject("DELETE", "/api/session/abc/end");
    expectError(remove, "method_not_allowed", /POST/);
    expect(remove.headers.allow).toBe("POST");
  });

  it("is 400 when it can't be decoded", async () => {
    expectError(await inject("GET", "/api/session/%ZZ"), "invalid_request", /hex/);
  });
});

describe("every answer", () => {
  it("has the caller's request id if that is harmless, else a new one", async () => {
    const given = await inject("GET", "/api/nope", { "x-request-id": "trace-1" });
    expect(given.body.error.traceId).toBe("trace-1");
    const odd = await inject("GET", "/api/nope", { "x-request-id": "a b\u00e9" });
    expect(odd.body.error.traceId).toMatch(/^[0-9a-f]{16}$/);
  });

  it("allows pages of this machine by CORS, or those that the settings name", async () => {
    const allowed = async (origin: string) => {
      const reply = await rig.app.inject({ url: "/api/health", headers: { origin } });
      return reply.headers["access-control-allow-origin"];
    };
    expect(await allowed("http://localhost:3000")).toBe("http://localhost:3000");
    expect(await allowed("http://evil.example")).toBeUndefined();
    await rig.stop();
    rig = await startRig({ env: { GREENROOM_CORS_ORIGIN: "https://app.example" } });
    expect(await allowed("https://app.example")).toBe("https://app.example");
    expect(await allowed("http://localhost:3000")).toBeUndefined();
  });

  it("is 429 with Retry-After above the rate limit, except for probes", async () => {
    await rig.stop();
    rig = await startRig({ env: { GREENROOM_RATE_LIMIT: "3" } });
    for (let i = 0; i < 3; i++) expect((await rig.get("/api/hosts")).status).toBe(200);
    const refused = await rig.get("/api/hosts");
    expectError(refused, "rate_limited", /more than 3 requests/);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect((await rig.get("/livez")).status).toBe(200);
  });

  it("is 400 in the same shape when the request is not HTTP", async () => {
    const url = new URL(await rig.app.listen({ host: "127.0.0.1", port: 0 }));
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(url.port), "127.0.0.1", () => socket.write("NONSENSE\r\n\r\n"));
      let got = "";
      socket.on("data", (data) => {
        got += data.toString();
      });
      socket.on("end", () => resolve(got));
      socket.on("error", reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    const body = JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4));
    expect(ErrorAnswer.parse(body).error.code).toBe("invalid_request");
  });
});

describe("gateway shutdown", () => {
  it("finishes the current request and refuses the next one on the same connection", async () => {
    const url = new URL(await rig.app.listen({ host: "127.0.0.1", port: 0 }));
    const socket = connect(Number(url.port), "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data.toString();
    });
    const ended = new Promise((resolve) => socket.once("close", resolve));
    socket.write(
      `POST ${START} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n`,
    );
    await until(async () => (await connections(rig)) === 1, { what: "the gateway has the connection" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closing = rig.app.close();
    await until(() => !rig.app.server.listening, { what: "the gateway stops" });
    socket.write(`{"wait":200}GET /api/hosts HTTP/1.1\r\nHost: x\r\n\r\n`);
    await Promise.all([closing, ended]);
    expect(text).toMatch(/^HTTP\/1\.1 20[02] /);
    expect(text).toContain('"sessionId":"s_');
    const second = text.slice(text.lastIndexOf("HTTP/1.1 "));
    expect(second).toMatch(/^HTTP\/1\.1 503 /);
    expect(second).toContain('"code":"shutting_down"');
  });
});

const connections = (of: Rig) =>
  new Promise<number>((resolve) => of.app.server.getConnections((_error, count) => resolve(count)));
