// Calls by VAPI's API, against a stand-in server: one request for each call, lookups, and ends.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { LaunchRecord } from "../../../../../libs/contracts/providers/provider.ts";
import { systemClock } from "../../../../../libs/runtime/clock.ts";
import type { LaunchOrder, ProviderDriver } from "../../../../../services/providers/drivers/driver.ts";
import { type VapiOptions, vapiDriver } from "../../../../../services/providers/drivers/vapi.ts";
import { callNameOf } from "../../../../../services/providers/drivers/vapi-status.ts";
import type { CanDial } from "../../../../../services/providers/launches/dial-guard.ts";
import {
  type StandInCall,
  startVapiStandIn,
  VAPI_KEY,
  type VapiStandIn,
} from "../../../../kit/fakes/vapi.ts";

const ASSISTANT = "0f1e2d3c-0000-4000-8000-000000000001";
const NUMBER = "0f1e2d3c-0000-4000-8000-000000000002";
const OTHER_NUMBER = "0f1e2d3c-0000-4000-8000-000000000003";

let vapi: VapiStandIn;
beforeEach(async () => {
  vapi = await startVapiStandIn();
});
afterEach(() => vapi.close());

const provider = (changed: Partial<VapiOptions> = {}): ProviderDriver =>
  vapiDriver({
    url: vapi.url,
    key: VAPI_KEY,
    clock: systemClock,
    assistantOf: (profile) => (profile === "support" ? ASSISTANT : undefined),
    numbers: new Map([
      ["+15550199", NUMBER],
      ["+15550198", OTHER_NUMBER],
    ]),
    pollMs: 0,
    answerMs: 20_000,
    lookUpAfterMs: [0, 50, 100],
    canDial: async () => "yes",
    ...changed,
  });

/** A provider that waits only briefly for an answer. */
const impatient = (): ProviderDriver => provider({ answerMs: 300 });

const order = (changed: Partial<LaunchOrder> = {}): LaunchOrder => ({
  tenant: "t",
  sessionId: "s_1",
  attempt: 1,
  profile: "support",
  room: "session-s_1",
  user: { id: "ann", name: "Ann" },
  metadata: { topic: "billing" },
  recovering: false,
  longestMs: 60_000,
  call: { to: "+15550100" },
  ...changed,
});

const launch = (changed: Partial<LaunchRecord> = {}): LaunchRecord => ({
  v: 1,
  tenant: "t",
  sessionId: "s_1",
  attempt: 1,
  provider: "vapi",
  profile: "support",
  state: "intended",
  by: "c-1",
  takeovers: 0,
  at: new Date().toISOString(),
  writeId: "o",
  ...changed,
});

const made = (): StandInCall => {
  const [call] = vapi.calls;
  if (call === undefined || vapi.calls.length > 1) throw new Error(`${vapi.calls.length} calls were made`);
  return call;
};

describe("VAPI provider > launch", () => {
  test("sends the assistant, the numbers, the session and the callee's metadata", async () => {
    expect(await provider().launch(order())).toEqual({
      is: "launched",
      externalId: made().id,
      call: { status: "dialing" },
    });
    expect(made()).toMatchObject({
      name: callNameOf("t", "s_1"),
      assistantId: ASSISTANT,
      phoneNumberId: NUMBER,
      customer: { number: "+15550100" },
      assistantOverrides: {
        variableValues: { topic: "billing" },
        metadata: { greenroom: { tenant: "t", sessionId: "s_1", attempt: 1 } },
      },
    });
  });

  test.each([
    [1, 61],
    [3_600_000, 3660],
    [24 * 3_600_000, 43_200],
  ])("lets the call last a minute longer than its session, %i ms, within VAPI's limit", async (ms, s) => {
    expect(await provider().launch(order({ longestMs: ms }))).toMatchObject({ is: "launched" });
    expect(made().assistantOverrides?.maxDurationSeconds).toBe(s);
  });

  test("calls from the requested number, and rejects one without an id at VAPI", async () => {
    await provider().launch(order({ call: { to: "+15550100", from: "+15550198" } }));
    expect(made().phoneNumberId).toBe(OTHER_NUMBER);
    const refused = await provider().launch(
      order({ sessionId: "s_2", call: { to: "+15550100", from: "+15550111" } }),
    );
    expect(refused).toMatchObject({ is: "refused", retryable: false });
    expect(refused).toHaveProperty("reason", expect.stringContaining("GREENROOM_VAPI_NUMBERS"));
    made();
  });

  test("accepts a SIP user's name that VAPI can call, and rejects one that VAPI can't", async () => {
    await provider().launch(order({ call: { to: "reception" } }));
    expect(made().customer).toEqual({ number: "reception", numberE164CheckEnabled: false });
    expect(await provider().launch(order({ call: { to: "front-desk" } }))).toMatchObject({ is: "refused" });
    made();
  });

  test.each([
    ["a session without a number to call", order({ call: undefined as never }), {}, "call.to"],
    ["a profile without an assistant", order({ profile: "sales" }), {}, "sales=vapi:"],
    ["no number to call from", order(), { numbers: new Map() }, "GREENROOM_VAPI_NUMBERS"],
  ])("refuses %s for good, and sends nothing", async (_, request, changed, description) => {
    const refused = await provider(changed).launch(request);
    expect(refused).toMatchObject({ is: "refused", retryable: false });
    expect(refused).toHaveProperty("reason", expect.stringContaining(description));
    expect(vapi.requests).toEqual([]);
  });

  test.each<[CanDial, string]>([
    ["moved on", "moved on to another attempt"],
    ["made before", "a session has one call"],
  ])("refuses when canDial answers %s", async (may, description) => {
    const refused = await provider({ canDial: async () => may }).launch(order());
    expect(refused).toMatchObject({ is: "refused", retryable: false });
    expect(refused).toHaveProperty("reason", expect.stringContaining(description));
    expect(vapi.requests).toEqual([]);
  });

  test("reports VAPI's refusal as final, in VAPI's words", async () => {
    const refused = await provider({ numbers: new Map([["+15550199", "not-an-id"]]) }).launch(order());
    expect(refused).toEqual({
      is: "refused",
      reason: "VAPI refused the call: 400 phoneNumberId must be a UUID",
      retryable: false,
    });
  });

  test("refuses for good with a wrong key, and never reveals the key", async () => {
    const refused = await provider({ key: "wrong-key-1234" }).launch(order());
    expect(refused).toMatchObject({ is: "refused", retryable: false });
    expect(JSON.stringify(refused)).not.toContain("wrong-key-1234");
    expect(vapi.refused()).toBe(1);
  });

  test("returns a retryable refusal after a 429, and sends nothing before VAPI's Retry-After", async () => {
    const busy = { message: "Too Many Requests", statusCode: 429 };
    vapi.next("POST /call", { is: "answer", status: 429, body: busy, headers: { "retry-after": "1" } });
    const calls = provider();
    expect(await calls.launch(order())).toMatchObject({ is: "refused", retryable: true });
    // Until the pause ends, nothing is sent to VAPI.
    expect(await calls.launch(order())).toMatchObject({ is: "refused", retryable: true });
    await expect(calls.observe(launch({ state: "launched", externalId: "c" }))).rejects.toThrow(/rate limit/);
    expect(vapi.requests).toEqual(["POST /call"]);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(await calls.launch(order())).toMatchObject({ is: "launched" });
    made();
  });

  test("returns a retryable refusal when VAPI is unreachable, because nothing was sent", async () => {
    const gone = await startVapiStandIn();
    const calls = provider({ url: gone.url });
    await gone.close();
    const refused = await calls.launch(order());
    expect(refused).toMatchObject({ is: "refused", retryable: true });
    expect(refused).toHaveProperty("reason", expect.stringContaining("ECONNREFUSED"));
  });

  test.each([
    ["a lost answer", { is: "lost answer" }],
    ["a cut connection", { is: "cut" }],
    ["an answer that doesn't come in time", { is: "slow", ms: 600 }],
    ["a failure", { is: "answer", status: 500, body: { message: "queue" } }],
    ["a gateway's failure", { is: "answer", status: 502, body: "bad gateway" }],
    ["an answer that is no call", { is: "answer", status: 201, body: { results: [] } }],
  ] as const)("is unconfirmed after %s, and does not send the request again", async (_, mishap) => {
    vapi.next("POST /call", mishap);
    expect(await impatient().launch(order())).toMatchObject({ is: "unconfirmed" });
    expect(vapi.requests).toEqual(["POST /call"]);
  });

  test("follows no redirect", async () => {
    const elsewhere = await startVapiStandIn();
    vapi.next("POST /call", {
      is: "answer",
      status: 307,
      body: {},
      headers: { location: `${elsewhere.url}/call` },
    });
    expect(await provider().launch(order())).toMatchObject({ is: "refused", retryable: false });
    expect(elsewhere.requests).toEqual([]);
    await elsewhere.close();
  });
});

describe("VAPI provider > observe, with a stored intent only", () => {
  test("finds the call that was made", async () => {
    vapi.next("POST /call", { is: "lost answer" });
    const calls = provider();
    await calls.launch(order());
    vapi.move(made().id, "ringing");
    expect(await calls.observe(launch())).toEqual({
      is: "joined",
      externalId: made().id,
      call: { status: "ringing" },
    });
    expect(vapi.requests.filter((route) => route === "POST /call")).toHaveLength(1);
  });

  test("finds a call that VAPI lists with a delay", async () => {
    vapi.listAfter(80);
    const calls = provider();
    await calls.launch(order());
    expect(await calls.observe(launch())).toMatchObject({ is: "launched", externalId: made().id });
    expect(vapi.requests.filter((route) => route === "GET /call").length).toBeGreaterThan(1);
  });

  test("ignores calls of other sessions and tenants, and is untellable without a call of its own", async () => {
    const calls = provider();
    await calls.launch(order({ sessionId: "s_2" }));
    await calls.launch(order({ tenant: "u" }));
    expect(await calls.observe(launch())).toMatchObject({ is: "untellable" });
    expect(vapi.calls).toHaveLength(2);
  });

  test("finds the call behind more calls than VAPI lists at once", async () => {
    const calls = provider();
    await calls.launch(order());
    const { name, ...first } = made();
    for (let i = 1; i <= 1500; i++) {
      const createdAt = new Date(Date.parse(first.createdAt) + i).toISOString();
      vapi.calls.push({ ...first, id: `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`, createdAt });
    }
    expect(await calls.observe(launch())).toMatchObject({ is: "launched", externalId: first.id });
    expect(name).toBe(callNameOf("t", "s_1"));
    expect(vapi.requests.filter((route) => route === "GET /call")).toHaveLength(2);
  });

  test("decides nothing while VAPI is unavailable", async () => {
    vapi.next("GET /call", { is: "answer", status: 503, body: {} });
    await expect(provider().observe(launch())).rejects.toMatchObject({ code: "provider_unavailable" });
  });
});

describe("VAPI provider > observe", () => {
  test("reports the call's state, and remembers an answer", async () => {
    const calls = provider();
    await calls.launch(order());
    const { id } = made();
    const known = launch({ state: "launched", externalId: id });
    vapi.move(id, "in-progress");
    expect(await calls.observe(known)).toMatchObject({ is: "ready", call: { status: "answered" } });
    vapi.move(id, "ended", "worker-shutdown");
    expect(await calls.observe({ ...known, call: { status: "answered" } })).toMatchObject({
      is: "ended",
      call: { status: "hungUp", providerReason: "worker-shutdown" },
    });
  });

  test("polls VAPI no more often than set", async () => {
    const calls = provider({ pollMs: 60_000 });
    await calls.launch(order());
    const known = launch({ state: "launched", externalId: made().id });
    for (let i = 0; i < 5; i++) await calls.observe(known);
    expect(vapi.requests.filter((route) => route === "GET /call/:id")).toHaveLength(1);
  });

  test("reports a call that VAPI no longer knows as absent", async () => {
    const found = await provider().observe(launch({ state: "launched", externalId: "gone" }));
    expect(found).toEqual({ is: "absent", reason: "VAPI no longer knows the call gone" });
  });

  test.each([
    [{ is: "answer", status: 500, body: {} }],
    [{ is: "answer", status: 200, body: { no: "id" } }],
    [{ is: "cut" }],
    [{ is: "slow", ms: 600 }],
  ] as const)("decides nothing after %o", async (mishap) => {
    await provider().launch(order());
    vapi.next("GET /call/:id", mishap);
    await expect(
      impatient().observe(launch({ state: "launched", externalId: made().id })),
    ).rejects.toMatchObject({
      code: "provider_unavailable",
    });
  });
});

describe("VAPI provider > end", () => {
  test("ends a live call without sending the key, and waits until it has ended", async () => {
    const calls = provider();
    await calls.launch(order());
    vapi.move(made().id, "in-progress");
    await calls.end(launch({ state: "ready", externalId: made().id }), "the user asked");
    expect(made()).toMatchObject({ status: "ended", endedReason: "manually-canceled" });
  });

  test("cancels a call before its phone rings", async () => {
    const calls = provider();
    await calls.launch(order());
    await calls.end(launch({ state: "launched", externalId: made().id }), "cancelled");
    expect(vapi.calls).toEqual([]);
  });

  test("finds and ends a call of which only the intent is stored", async () => {
    const calls = provider();
    await calls.launch(order());
    vapi.move(made().id, "ringing");
    await calls.end(launch(), "cancelled");
    expect(made().status).toBe("ended");
  });

  test("is a no-op when the call is missing or already over", async () => {
    const calls = provider();
    await calls.end(launch(), "cancelled");
    await calls.launch(order());
    vapi.move(made().id, "ended", "customer-busy");
    await calls.end(launch({ externalId: made().id }), "over");
    expect(vapi.requests).not.toContain("POST /control");
  });

  test("fails while a live call has no control URL", async () => {
    vapi.withoutControl();
    const calls = provider();
    await calls.launch(order());
    vapi.move(made().id, "in-progress");
    const ending = calls.end(launch({ state: "ready", externalId: made().id }), "the user asked");
    await expect(ending).rejects.toThrow(/controlEnabled/);
    expect(made().status).toBe("in-progress");
  });
});
