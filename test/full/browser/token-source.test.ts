// A third-party front end that uses only LiveKit's TokenSource.
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endOf, PATIENCE_MS, poolIs, roomIsGone } from "../../browser/look.ts";
import { openBrowser } from "../../kit/servers/browser.ts";
import { type Stack, startStack } from "../../kit/stack/stack.ts";
import { until } from "../../kit/until.ts";

let stack: Stack;
let site: Server;

beforeAll(async () => {
  site = await serveSite();
  stack = await startStack();
});
afterAll(async () => {
  await stack?.stop();
  await new Promise((resolve) => site.close(resolve));
});

describe("LiveKit token endpoint", () => {
  test("gives a page of another origin a room with an agent through TokenSource.endpoint", async () => {
    await poolIs(stack, "echo", { idle: 3, hot: 1 });
    const browser = await openBrowser();
    try {
      const { page } = browser;
      page.setDefaultTimeout(PATIENCE_MS);
      const address = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
      await page.goto(`${address}/?endpoint=${encodeURIComponent(`${stack.url}/api/livekit/token`)}`);
      const seen = page.locator("#seen");
      await until(async () => /^agent .* listening$/.test((await seen.textContent()) ?? ""), {
        timeoutMs: PATIENCE_MS,
        everyMs: 100,
        what: () => `the page sees a listening agent; the page reports: ${browser.complaints}`,
      });
      // The agent listens a moment before the record of its session is ready.
      const sessions = await until(
        async () => {
          const listed = (await stack.get("/api/sessions")).body.sessions;
          return listed[0]?.state === "ready" ? listed : undefined;
        },
        { timeoutMs: PATIENCE_MS, what: "the session is ready" },
      );
      expect(sessions).toHaveLength(1);
      expect(sessions[0]).toMatchObject({ state: "ready", userId: "ada", userName: "Ada", profile: "echo" });
      expect(sessions[0].room).toBe("a-room-of-its-own");

      await page.click("#leave");
      await endOf(stack, sessions[0].sessionId);
      await roomIsGone(stack, "a-room-of-its-own");
      expect(browser.complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});

/** Serves the page and LiveKit's client. */
async function serveSite(): Promise<Server> {
  const client = dirname(createRequire(import.meta.url).resolve("livekit-client"));
  const files = new Map([
    ["/", { file: fileURLToPath(new URL("front-end.html", import.meta.url)), type: "text/html" }],
    ["/livekit-client.mjs", { file: join(client, "livekit-client.esm.mjs"), type: "text/javascript" }],
  ]);
  const server = createServer(async (request, response) => {
    const found = files.get(new URL(request.url ?? "/", "http://site").pathname);
    if (found === undefined) return response.writeHead(204).end();
    return response.writeHead(200, { "content-type": found.type }).end(await readFile(found.file));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
