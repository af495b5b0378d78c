// Origins of pages that may use the API.
import Fastify from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { type Log, silentLog } from "../../../../../libs/runtime/log.ts";
import { allowOrigins, isAllowedOrigin } from "../../../../../services/gateway/http/cors-origins.ts";
import type { Routes } from "../../../../../services/gateway/http/routes.ts";
import { type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

let rig: Rig | undefined;
afterEach(async () => {
  await rig?.stop();
  rig = undefined;
});

describe("allowOrigins", () => {
  const preflight = async (origin: string, method: string) => {
    rig ??= await startRig({ env: { GREENROOM_CORS_ORIGIN: "https://a.example" } });
    return rig.app.inject({
      method: "OPTIONS",
      url: "/api/session/start",
      headers: { origin, "access-control-request-method": method },
    });
  };

  it.each(["GET", "POST", "PUT", "DELETE"])(
    "answers the preflight of an allowed page for %s",
    async (method) => {
      const reply = await preflight("https://a.example", method);
      expect(reply.statusCode).toBe(204);
      expect(reply.headers["access-control-allow-origin"]).toBe("https://a.example");
      expect(reply.headers["access-control-allow-methods"]).toContain(method);
    },
  );

  it("answers the preflight of any other page with the setting that would allow it", async () => {
    const reply = await preflight("https://b.example", "POST");
    expect(reply.statusCode).toBe(403);
    expect(reply.headers["access-control-allow-origin"]).toBeUndefined();
    expect(reply.json().error.message).toBe(
      "Pages of https://b.example may not use this API. Add the origin to GREENROOM_CORS_ORIGIN.",
    );
  });
});

it("logs each refused origin once, with the setting that would allow it", async () => {
  const lines: string[] = [];
  const app = Fastify() as unknown as Routes;
  const warn: Log["warn"] = (_fields: unknown, message = "") => lines.push(message);
  allowOrigins(app, "https://a.example", { ...silentLog, warn });
  for (const origin of ["https://b.example", "https://a.example", "https://b.example"])
    await app.inject({ url: "/", headers: { origin } });
  await app.close();
  expect(lines).toEqual([
    "Pages of https://b.example may not use this API. Add the origin to GREENROOM_CORS_ORIGIN.",
  ]);
});

describe("isAllowedOrigin", () => {
  it("accepts pages of the gateway's address, of this machine, or of the configured origins", () => {
    const isAllowed = (origin: string | undefined, setting?: string) =>
      isAllowedOrigin(origin, "gw.example:8080", setting);
    expect(isAllowed(undefined)).toBe(true);
    expect(isAllowed("http://gw.example:8080")).toBe(true);
    expect(isAllowed("http://localhost:3000")).toBe(true);
    expect(isAllowed("http://[::1]:3000")).toBe(true);
    expect(isAllowed("http://localhost.evil.example")).toBe(false);
    expect(isAllowed("null")).toBe(false);
    expect(isAllowed("https://a.example", "https://b.example, https://a.example/")).toBe(true);
    expect(isAllowed("http://localhost:3000", "https://a.example")).toBe(false);
    expect(isAllowed("https://anyone.example", "*")).toBe(true);
  });
});
