// The API page at /docs in a real browser, under the gateway's own content security policy.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBrowser, type TestBrowser } from "../kit/servers/browser.ts";
import { type Rig, startRig } from "../kit/worlds/gateway-world.ts";

let rig: Rig;
let url: string;
let browser: TestBrowser;
const addresses: string[] = [];

beforeAll(async () => {
  rig = await startRig();
  url = await rig.app.listen({ host: "127.0.0.1", port: 0 });
  browser = await openBrowser();
  browser.page.on("request", (request) => addresses.push(request.url()));
  await browser.page.goto(`${url}/docs`);
  await browser.page.locator(".opblock").first().waitFor();
});
afterAll(async () => {
  await browser?.close();
  await rig?.stop();
});

describe("the API page", () => {
  test("lists every route of the OpenAPI document", async () => {
    const { paths } = (await rig.get("/openapi.json")).body as { paths: Record<string, object> };
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const blocks = await browser.page.locator(".opblock-summary").all();
    const shown = await Promise.all(
      blocks.map(async (block) => {
        const method = await block.locator(".opblock-summary-method").textContent();
        const path = await block.locator(".opblock-summary-path").getAttribute("data-path");
        return `${method} ${path}`;
      }),
    );
    expect(routes.length).toBeGreaterThan(30);
    expect(shown.sort()).toEqual(routes.sort());
  });

  test('calls a route with "Try it out"', async () => {
    const { page } = browser;
    const route = page.locator(".opblock", { has: page.locator('[data-path="/api/hosts"]') });
    await route.locator(".opblock-summary-control").click();
    await route.locator(".try-out__btn").click();
    await route.locator(".execute").click();
    await route.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
    expect(await route.locator(".live-responses-table").textContent()).toContain("host-1");
  });

  test("loads nothing from other origins and obeys its content security policy", () => {
    expect(addresses.length).toBeGreaterThan(5);
    expect(
      addresses.filter((address) => !address.startsWith(`${url}/`) && !address.startsWith("data:")),
    ).toEqual([]);
    expect(browser.complaints).toEqual([]);
  });
});
