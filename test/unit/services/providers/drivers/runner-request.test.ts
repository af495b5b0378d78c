// The launch request to an agent runner.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it, test } from "vitest";
import { launchUrlOf, requestLaunch } from "../../../../../services/providers/drivers/runner-request.ts";
import { RUNNER_SECRET } from "../../../../kit/worlds/handoff-world.ts";

describe("requestLaunch", () => {
  const servers: ReturnType<typeof createServer>[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** A real server, because the errors of Node's fetch are under test. */
  async function listening(handle: Parameters<typeof createServer>[1]): Promise<string> {
    const server = createServer(handle as never);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const ask = (url: string, more: Partial<Parameters<typeof requestLaunch>[0]> = {}) =>
    requestLaunch({
      url: launchUrlOf(url),
      id: "acme.s.1",
      body: { a: "ä" },
      secrets: [RUNNER_SECRET],
      now: new Date(),
      timeoutMs: 5000,
      ...more,
    });

  it("signs with the old and the new secret, as any Standard Webhooks library accepts", async () => {
    const other = `whsec_${Buffer.from("another secret of an agent runner").toString("base64")}`;
    const verified: unknown[] = [];
    const url = await listening(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part);
      const body = Buffer.concat(parts).toString();
      for (const secret of [RUNNER_SECRET, other])
        verified.push(new Webhook(secret).verify(body, request.headers as Record<string, string>));
      response.writeHead(request.url === "/runtime/agent-sessions/launch" ? 202 : 404).end();
    });
    expect(await ask(url, { secrets: [RUNNER_SECRET, other] })).toEqual({ is: "taken" });
    expect(verified).toEqual([{ a: "ä" }, { a: "ä" }]);
  });

  it("follows no redirect, reads no endless answer, and redacts tokens in answers", async () => {
    const elsewhere = await listening((_request, response) => response.end());
    const url = await listening((request, response) => {
      if (request.headers["webhook-id"] === "redirect") {
        response.writeHead(307, { location: elsewhere }).end();
      } else if (request.headers["webhook-id"] === "endless") {
        response.writeHead(400);
        const more = () => {
          if (response.writable && !response.destroyed)
            response.write("x".repeat(10_000), () => setImmediate(more));
        };
        more();
      } else response.writeHead(403).end("bad token eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl\n\n here");
    });
    expect(await ask(url, { id: "redirect" })).toMatchObject({
      is: "refused",
      reason: expect.stringContaining("307"),
    });
    const endless = await ask(url, { id: "endless" });
    expect(endless).toMatchObject({ is: "refused" });
    expect("reason" in endless && endless.reason.length).toBeLessThan(300);
    expect(await ask(url)).toMatchObject({
      reason: expect.stringMatching(/403: bad token \(a token\) here$/),
    });
  });

  it("reports why the request failed", async () => {
    const url = await listening((_request, response) => response.destroy());
    expect(await ask(url)).toMatchObject({
      is: "failed",
      reason: expect.stringMatching(/closed|socket|reset/i),
    });
    for (const server of servers.splice(0)) server.close();
    expect(await ask(url)).toMatchObject({ is: "failed", reason: expect.stringContaining("ECONNREFUSED") });
    const silent = await listening(() => {});
    expect(await ask(silent, { timeoutMs: 50 })).toMatchObject({
      is: "failed",
      reason: expect.stringMatching(/timeout/i),
    });
  });

  test.each([
    ["http://r:4100", "http://r:4100/runtime/agent-sessions/launch"],
    ["http://r:4100/", "http://r:4100/runtime/agent-sessions/launch"],
    ["http://r/base/", "http://r/base/runtime/agent-sessions/launch"],
    ["http://r/runtime/agent-sessions/launch", "http://r/runtime/agent-sessions/launch"],
    ["https://r/runtime/agent-sessions/launch/?k=1", "https://r/runtime/agent-sessions/launch?k=1"],
  ])("expands %s to %s", (base, whole) => {
    expect(launchUrlOf(base)).toBe(whole);
  });
});
