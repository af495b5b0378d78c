// What the gateway says to requests that are wrong: always the one shape, never a 5xx.
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

/** Holds an answer against the one shape and the one table. */
function expectError(
  { status, body, headers }: Reply,
  code: keyof typeof errorTable,
  description: RegExp,
): void {
  expect(ErrorAnswer.parse(body)).toEqual(body);
  expect({ code: body.error.code, status }).toEqual({ code, status: errorTable[code].http });
  expect(body.error.retryable).toBe(errorTable[code].retryable);
  expect(body.error.message).toMatch(description);
  expect(body.error.traceId).toBe(headers["x-request-id"]);
}

const nested = `${"[".repeat(10_000)}${"]".repeat(10_000)}`;

describe("a body", () => {
  it.each([
    ["that is no JSON", "{bad", /not valid JSON/],
    ["that ends too early", '{"userId":"a', /not valid JSON/],
    ["that is null", "null", /expected object, received null/],
    ["that is a list", "[]", /expected object, received array/],
    ["that is a text", '"x"', /expected object/],
    ["with a field that nobody knows", '{"userID":"a"}', /userID/],
    ["with a prototype", '{"__proto__":{"a":1}}', /not valid JSON/],
    ["with a wrong type", '{"userId":5}', /body\.userId.*string/],
    ["with an empty user", '{"userId":""}', /body\.userId.*empty/],
    ["with too long a wait", '{"wait":30001}', /body\.wait.*30000/],
    ["with a broken wait", '{"wait":1.5}', /body\.wait.*int/],
    ["with a profile that is no name", '{"profile":"a b"}', /body\.profile: A profile name may hold/],
    ["with control characters", '{"userName":"a\\u0000b"}', /body\.userName.*control/],
    ["with metadata that is no object", '{"metadata":[1]}', /body\.metadata/],
    ["with large metadata", `{"metadata":{"a":"${"é".repeat(2100)}"}}`, /body\.metadata.*4,096 bytes/],
    ["that is nested deeply", `{"metadata":{"a":${nested}}}`, /nested too deeply/],
    ["with a room of the system's", '{"room":"standby-1"}', /body\.room.*standby-/],
    ["with an agent's identity", '{"userId":"agent-s_1-1"}', /body\.userId.*agent-/],
  ])("%s is 400 and says why", async (_what, payload, description) => {
    expectError(await inject("POST", START, json, payload), "invalid_request", description);
    expect(rig.said()).toEqual([]);
  });

  it("of another type is 415", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      const reply = await inject("POST", START, { "content-type": type }, "a=b");
      expectError(reply, "unsupported_media_type", /application\/json/);
    }
  });

  it("that is too large is 413", async () => {
    const payload = JSON.stringify({ userName: "x".repeat(70_000) });
    expectError(
      await inject("POST", START, json, payload),
      "payload_too_large",
      /GREENROOM_BODY_LIMIT_BYTES/,
    );
  });
});

describe("an address", () => {
  it("that isn't there is 404", async () => {
    expectError(await inject("GET", "/api/nope"), "not_found", /openapi\.json/);
    expectError(await inject("GET", "/../../etc/passwd"), "not_found", /There is no/);
    expectError(await inject("GET", "/vendor/package.json"), "not_found", /There is no/);
  });

  it("that is there with another method is 405 with Allow", async () => {
    const put = await inject("PUT", "/api/sessions", json, "{}");
    expectError(put, "method_not_allowed", /GET.*not PUT/);
    expect(put.headers.allow).toBe("GET, HEAD");
    const remove = await inject("DELETE", "/api/session/abc/end");
    expectError(remove, "method_not_allowed", /POST/);
    expect(remove.headers.allow).toBe("POST");
  });

  it("that can't be decoded is 400", async () => {
    expectError(await inject("GET", "/api/session/%ZZ"), "invalid_request", /hex/);
  });
});

describe("every answer", () => {
  it("carries the caller's request id, where it is harmless, or a new one", async () => {
    const given = await inject("GET", "/api/nope", { "x-request-id": "trace-1" });
    expect(given.body.error.traceId).toBe("trace-1");
    const odd = await inject("GET", "/api/nope", { "x-request-id": "a b\u00e9" });
    expect(odd.body.error.traceId).toMatch(/^[0-9a-f]{16}$/);
  });

  it("may be read by pages of this machine, and by others only where the settings say so", async () => {
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

  it("is 429 with Retry-After past the rate limit, but probes are always answered", async () => {
    await rig.stop();
    rig = await startRig({ env: { GREENROOM_RATE_LIMIT: "3" } });
    for (let i = 0; i < 3; i++) expect((await rig.get("/api/hosts")).status).toBe(200);
    const refused = await rig.get("/api/hosts");
    expectError(refused, "rate_limited", /More than 3 requests/);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect((await rig.get("/livez")).status).toBe(200);
  });

  it("to what is no HTTP is 400 in the same shape", async () => {
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

describe("a gateway that stops", () => {
  it("finishes the request in hand, and refuses the next on the same connection", async () => {
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
