// A gateway whose profiles others than hosts serve: which start gets whose agent, and what is told of it.
import { afterEach, describe, expect, it, test } from "vitest";
import { parseProviderRules } from "../../../../../libs/contracts/providers/provider-rules.ts";
import { serviceHeartbeats } from "../../../../../libs/contracts/streams.ts";
import { canQueue, capacityFor } from "../../../../../services/gateway/sessions/capacity.ts";
import { resolveProvider } from "../../../../../services/gateway/sessions/resolve-provider.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";
import { until } from "../../../../kit/until.ts";
import { aHost, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

const PROVIDERS = "support=livekit:support-agent, legacy=webhook, echo=webhook";
const settings = (configured?: string, providers = PROVIDERS) => ({
  GREENROOM_PROVIDERS: parseProviderRules(providers),
  GREENROOM_DEFAULT_PROFILE: configured,
});
const hosts = [aHost({ echo: {}, assistant: {} })];
const asked = (profile?: string, provider?: "pool" | "livekit" | "webhook" | "sip") => ({
  profile,
  provider,
});

describe("a start gets", () => {
  test.each([
    ["a profile of a provider by its rule", asked("support"), { profile: "support", provider: "livekit" }],
    ["the pool's of the same name when it says so", asked("echo", "pool"), { profile: "echo" }],
    [
      "a provider's before the pool's of the same name",
      asked("echo"),
      { profile: "echo", provider: "webhook" },
    ],
    [
      "a provider that it names, for any profile",
      asked("new", "livekit"),
      { profile: "new", provider: "livekit" },
    ],
    [
      "the first profile of a provider that it names alone",
      asked(undefined, "webhook"),
      { profile: "legacy", provider: "webhook" },
    ],
    ["a profile of hosts, without a word of the pool", asked("assistant"), { profile: "assistant" }],
    ["the hosts' default when it names nothing", asked(), { profile: "assistant" }],
    [
      "an agent of the hosts for a telephone call",
      asked("assistant", "sip"),
      { profile: "assistant", provider: "sip" },
    ],
  ] as const)("%s", (_what, wish, chosen) => {
    expect(resolveProvider(hosts, settings(), wish)).toEqual(chosen);
  });

  test("the configured default, also when a provider serves it", () => {
    expect(resolveProvider(hosts, settings("support"), asked())).toEqual({
      profile: "support",
      provider: "livekit",
    });
  });

  test("a provider's when no host is up", () => {
    expect(resolveProvider([], settings(), asked())).toEqual({ profile: "support", provider: "livekit" });
    expect(resolveProvider([], settings(), asked("legacy"))).toMatchObject({ provider: "webhook" });
    expect(() => resolveProvider([], settings(), asked("assistant"))).toThrow(/No agent-host is up/);
  });

  test("an error in words for a profile that nobody has, and for a provider without one", () => {
    expect(() => resolveProvider(hosts, settings(), asked("nonsense"))).toThrow(
      'No host has an agent file "nonsense". Known: assistant, echo, legacy, support.',
    );
    expect(() => resolveProvider(hosts, settings(undefined, ""), asked(undefined, "livekit"))).toThrow(
      "body.profile: name one, since GREENROOM_PROVIDERS has none for livekit.",
    );
  });
});

describe("a provider's capacity", () => {
  const waiting = (...records: ReturnType<typeof aSession>[]) => ({
    hosts: { all: () => hosts },
    sessions: {
      waiting: () => records.map((record) => ({ key: record.sessionId, record, revision: 1, seenAtMs: 0 })),
    },
  });
  const external = { profile: "support", provider: "livekit" } as const;

  test("has no bound until one had to be asked for again", () => {
    const first = aSession("a", { ...external, attempt: 1 });
    const capacity = capacityFor(waiting(first), external);
    expect(canQueue(1_000_000, capacity, 0)).toBe(true);
    const short = capacityFor(waiting(first, aSession("b", { ...external, attempt: 2 })), external);
    expect(short).toMatchObject({ idle: 0, cold: 0 });
    expect(canQueue(5, short, 5)).toBe(false);
  });

  test("has nothing to do with who waits for the pool's agents of the same profile", () => {
    const pooled = aSession("p", { profile: "support", attempt: 3 });
    expect(capacityFor(waiting(pooled), external).cold).toBeGreaterThan(1_000_000);
  });
});

describe("the API", () => {
  let rig: Rig;
  afterEach(() => rig.stop());

  it("stores whose agent is wanted, and tells it in every answer", async () => {
    rig = await startRig({ env: { GREENROOM_PROVIDERS: PROVIDERS }, play: "wait" });
    const started = await rig.post("/api/session/start", { profile: "support", wait: 0 });
    expect(started.status).toBe(202);
    expect(started.body).toMatchObject({ profile: "support", provider: "livekit", status: "starting" });
    // The room is settled: no agent of a provider brings another.
    expect(started.body).toMatchObject({
      room: `session-${started.body.sessionId}`,
      token: expect.any(String),
    });
    expect(rig.said()[0]).toMatchObject({ type: "requested", profile: "support", provider: "livekit" });
    const session = await rig.get(`/api/session/${started.body.sessionId}`);
    expect(session.body).toMatchObject({ provider: "livekit" });
    expect((await rig.get("/api/sessions")).body.sessions[0]).toMatchObject({ provider: "livekit" });

    const pooled = await rig.post("/api/session/start", { profile: "echo", provider: "pool", wait: 0 });
    expect(pooled.body).toMatchObject({ profile: "echo", provider: "pool" });
    expect(rig.said().at(-1)).not.toHaveProperty("provider");
  });

  it("refuses a provider that is none, and those whose calls come by tasks", async () => {
    rig = await startRig();
    for (const provider of ["livkit", "vapi", "sip"]) {
      const reply = await rig.post("/api/session/start", { profile: "echo", provider });
      expect(reply.status, provider).toBe(400);
      expect(reply.body.error.message).toMatch(/^body\.provider: /);
    }
  });

  it("gives a starter app that names LiveKit's agent name the profile that it stands for", async () => {
    rig = await startRig({ env: { GREENROOM_PROVIDERS: PROVIDERS } });
    const reply = await rig.post("/api/livekit/token", {
      room_name: "my-room",
      room_config: { agents: [{ agent_name: "support-agent" }] },
    });
    expect(reply.status).toBe(201);
    expect(rig.said()[0]).toMatchObject({ profile: "support", provider: "livekit" });
  });

  it("shows the profiles of providers in health: failed without a providers service, running with one", async () => {
    rig = await startRig({ env: { GREENROOM_PROVIDERS: PROVIDERS } });
    const before = (await rig.get("/api/health")).body;
    expect(before.profiles.support).toMatchObject({ provider: "livekit", status: "failed" });
    expect(before.profiles.support.error).toContain("npm run providers");
    expect(before.services.providers).toEqual({ status: "stopped", instances: 0 });
    rig.bus.core.publishTransient(serviceHeartbeats, {
      service: "providers",
      instance: "c-1",
      pid: 1,
      status: "running",
    });
    const health = async () => (await rig.get("/api/health")).body;
    await until(async () => (await health()).profiles.support.status === "running", { what: "it is seen" });
    const { profiles } = await health();
    expect(profiles.support).toMatchObject({ provider: "livekit", busy: 0, max: 0 });
    expect(profiles.assistant).toBeUndefined();
    expect(profiles.echo).toMatchObject({ provider: "webhook" });
  });
});
