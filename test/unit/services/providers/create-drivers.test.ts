// Drivers created from settings: which address they call, with which key, and how often.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { sessions } from "../../../../libs/contracts/buckets.ts";
import type { LaunchRecord, ProviderName } from "../../../../libs/contracts/providers/provider.ts";
import { systemClock } from "../../../../libs/runtime/clock.ts";
import { readConfig } from "../../../../libs/runtime/config.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { providersSettings } from "../../../../services/providers/config.ts";
import { createProviders } from "../../../../services/providers/create-drivers.ts";
import type { LaunchOrder } from "../../../../services/providers/drivers/driver.ts";
import { setUpRunner } from "../../../../services/providers/runner-settings.ts";
import { startVapiStandIn, VAPI_KEY } from "../../../kit/fakes/vapi.ts";
import { AT, aSession } from "../../../kit/fixtures/sessions.ts";
import { createRandom } from "../../../kit/random.ts";
import { createMemoryServer } from "../../../simulation/nats/memory-server.ts";

const ASSISTANT = "0f1e2d3c-0000-4000-8000-000000000001";
const NUMBER = "0f1e2d3c-0000-4000-8000-000000000002";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Creates a provider from environment variables, and a session that requests it. */
async function providerBy(name: ProviderName, env: Record<string, string>) {
  const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
  const bus = server.connect("providers");
  const config = readConfig(providersSettings, env);
  const runner = setUpRunner(config, config.GREENROOM_PROVIDERS);
  const common = { bus, clock: systemClock, log: silentLog, instance: "c-1", livekit: undefined };
  const provider = createProviders(config, { ...common, runner }).find((one) => one.name === name);
  if (provider === undefined) throw new Error(`there is no ${name}`);
  await bus.kv.update(sessions, aSession("s_1", { provider: name, profile: "support" }), 0);
  return provider;
}

const order = (changed: Partial<LaunchOrder> = {}): LaunchOrder => ({
  ...{ tenant: "t", sessionId: "s_1", attempt: 1, profile: "support", room: "session-s_1" },
  ...{ user: { id: "ann", name: "Ann" }, metadata: {}, recovering: false, longestMs: 60_000 },
  ...changed,
});

const launched = (externalId: string): LaunchRecord => ({
  ...{
    v: 1 as const,
    tenant: "t",
    sessionId: "s_1",
    attempt: 1,
    provider: "vapi" as const,
    profile: "support",
  },
  ...{ state: "launched" as const, by: "c-1", takeovers: 0, at: AT, externalId, writeId: "op" },
});

describe("VAPI provider from settings", () => {
  const vapiBy = async (changed: Record<string, string>) => {
    const vapi = await startVapiStandIn();
    stops.push(() => vapi.close());
    const env = {
      GREENROOM_PROVIDERS: `support=vapi:${ASSISTANT}`,
      GREENROOM_VAPI_URL: vapi.url,
      GREENROOM_VAPI_KEY: VAPI_KEY,
      GREENROOM_VAPI_NUMBERS: NUMBER,
      ...changed,
    };
    return { vapi, provider: await providerBy("vapi", env) };
  };
  const call = order({ call: { to: "+15550100" } });

  test("calls the configured address with the configured key, assistant and number", async () => {
    const { vapi, provider } = await vapiBy({});
    const made = await provider.launch(call);
    expect(made).toEqual({ is: "launched", externalId: vapi.calls[0]?.id, call: { status: "dialing" } });
    expect(vapi.refused()).toBe(0);
    expect(vapi.calls).toMatchObject([
      { assistantId: ASSISTANT, phoneNumberId: NUMBER, customer: { number: "+15550100" } },
    ]);
  });

  test("refuses a call when VAPI rejects the key", async () => {
    const { vapi, provider } = await vapiBy({ GREENROOM_VAPI_KEY: "another" });
    expect(await provider.launch(call)).toMatchObject({ is: "refused", retryable: false });
    expect([vapi.refused(), vapi.calls]).toEqual([1, []]);
  });

  test("polls no more often than GREENROOM_VAPI_POLL_MS", async () => {
    const pollsWith = async (pollMs: string) => {
      const { vapi, provider } = await vapiBy({
        GREENROOM_VAPI_POLL_MS: pollMs,
        GREENROOM_VAPI_ANSWER_MS: "1234",
      });
      await provider.launch(call);
      const launch = launched(vapi.calls[0]?.id ?? "");
      await provider.observe(launch);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await provider.observe(launch);
      return vapi.requests.filter((request) => request === "GET /call/:id").length;
    };
    expect(await pollsWith("250")).toBe(2);
    expect(await pollsWith("60000")).toBe(1);
  });

  test("waits for an answer as long as GREENROOM_VAPI_ANSWER_MS", async () => {
    const { vapi, provider } = await vapiBy({ GREENROOM_VAPI_ANSWER_MS: "1000" });
    vapi.next("POST /call", { is: "slow", ms: 4000 });
    const beganAtMs = performance.now();
    expect(await provider.launch(call)).toMatchObject({
      is: "unconfirmed",
      reason: expect.stringContaining("Request to VAPI failed"),
    });
    expect(performance.now() - beganAtMs).toBeGreaterThan(900);
    // One request, and the lookups after it, which wait for 0, 1, 3 and 6 s.
    expect(provider.launchLimitMs).toBe(1000 + 4 * 1000 + 10_000);
  });

  test("refuses a call without a key, naming the setting, and sends nothing", async () => {
    const { vapi, provider } = await vapiBy({ GREENROOM_VAPI_KEY: "" });
    expect(await provider.launch(call)).toMatchObject({
      is: "refused",
      reason: expect.stringContaining("GREENROOM_VAPI_KEY"),
    });
    expect(vapi.requests).toEqual([]);
  });
});

describe("webhook provider from settings", () => {
  test("sends the launch to the configured address, with the configured claim timeout", async () => {
    const received: { url: string | undefined; body: Record<string, string> }[] = [];
    const server: Server = createServer(async (request, response) => {
      let text = "";
      for await (const part of request) text += part;
      received.push({ url: request.url, body: JSON.parse(text) });
      response.writeHead(202).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const provider = await providerBy("webhook", {
      GREENROOM_PROVIDERS: "support=webhook:its-support",
      AGENT_LAUNCHER_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      AGENT_LAUNCHER_SECRET: `whsec_${Buffer.from("a key of two and thirty letters!").toString("base64")}`,
      CONTROL_PLANE_BASE_URL: "https://greenroom.example/",
      GREENROOM_CLAIM_TIMEOUT_MS: "3600000",
      GREENROOM_CLAIM_RETENTION_MS: "1001",
      GREENROOM_CLAIM_REPLAY_WINDOW_MS: "1002",
    });
    const beganAtMs = Date.now();
    expect(await provider.launch(order())).toMatchObject({ is: "launched" });
    const [{ url, body } = { url: "", body: {} as Record<string, string> }] = received;
    expect(url).toBe("/runtime/agent-sessions/launch");
    expect(body).toMatchObject({
      agent_id: "its-support",
      claim_url: "https://greenroom.example/api/claims/s_1-1/claim",
    });
    const validForMs = Date.parse(body.dispatch_expires_at ?? "") - beganAtMs;
    expect(validForMs).toBeGreaterThanOrEqual(3_600_000);
    expect(validForMs).toBeLessThan(3_660_000);
  });
});
