// Admission of starts: the agent of an admitted start, and the reason of a refusal.
import { afterEach, describe, expect, it, test } from "vitest";
import type { HostRecord } from "../../../../../libs/contracts/fleet/host.ts";
import type { ProviderName } from "../../../../../libs/contracts/providers/provider.ts";
import { parseProviderRules } from "../../../../../libs/contracts/providers/provider-rules.ts";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { serviceHeartbeats } from "../../../../../libs/contracts/streams.ts";
import { admitStart, type StartFacts } from "../../../../../services/gateway/sessions/admit-start.ts";
import type { AgentRequest } from "../../../../../services/gateway/sessions/capacity.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";
import { until } from "../../../../kit/until.ts";
import { aHost, type Rig, startRig } from "../../../../kit/worlds/gateway-world.ts";

const PROVIDERS = "support=livekit:support-agent, legacy=webhook, echo=webhook";

interface World {
  readonly hosts?: readonly HostRecord[];
  readonly providers?: string;
  readonly defaultProfile?: string;
  readonly records?: readonly SessionRecord[];
  readonly accepted?: readonly AgentRequest[];
  readonly eventLoopLagMs?: number;
  readonly storeUsage?: number;
  readonly maxQueueLength?: number;
}

/** The facts that a gateway knows. By default two profiles run, no session waits and nothing is loaded. */
function factsOf(world: World = {}): StartFacts {
  const { records = [], accepted = [] } = world;
  const seen = (record: SessionRecord) => ({ key: record.sessionId, record, revision: 1, seenAtMs: 0 });
  return {
    hosts: { all: () => [...(world.hosts ?? [aHost({ echo: {}, assistant: {} })])] },
    sessions: {
      all: () => records.map(seen),
      waiting: () => records.filter(({ state }) => state === "requested").map(seen),
    },
    accepted: new Map(accepted.map((requested, index) => [String(index), { requested }])),
    startTimes: {
      estimateMs: (queue, _capacity, position) => (queue === "echo" ? 1500 : 700) * (position + 1),
    },
    load: {
      current: () => ({ eventLoopLagMs: world.eventLoopLagMs ?? 0, storeUsage: world.storeUsage ?? 0 }),
    },
    config: {
      GREENROOM_PROVIDERS: parseProviderRules(world.providers ?? ""),
      GREENROOM_DEFAULT_PROFILE: world.defaultProfile,
      GREENROOM_MAX_PENDING_STARTS: 4,
      GREENROOM_MAX_EVENT_LOOP_LAG_MS: 500,
      GREENROOM_MAX_QUEUE_LENGTH: world.maxQueueLength ?? 5,
    },
  };
}

const admit = (world: World, profile?: string, provider?: ProviderName, exclusiveRoom?: string) =>
  admitStart(factsOf(world), { sessionId: "new", profile, provider, exclusiveRoom });

const agentOf = (world: World, profile?: string, provider?: ProviderName) => {
  const decision = admit(world, profile, provider);
  return "refused" in decision ? decision : decision.admitted.agent;
};

describe("admitStart, agent", () => {
  const withProviders: World = { providers: PROVIDERS };
  test.each([
    [
      "serves a profile by the provider of its rule",
      "support",
      undefined,
      { profile: "support", provider: "livekit" },
    ],
    ["serves a profile by the pool if the request names the pool", "echo", "pool", { profile: "echo" }],
    [
      "prefers a provider's profile over the pool's",
      "echo",
      undefined,
      { profile: "echo", provider: "webhook" },
    ],
    ["accepts any profile for a named provider", "new", "livekit", { profile: "new", provider: "livekit" }],
    [
      "defaults to the first profile of a named provider",
      undefined,
      "webhook",
      { profile: "legacy", provider: "webhook" },
    ],
    ["serves a profile of the hosts by the pool", "assistant", undefined, { profile: "assistant" }],
    ["defaults to the hosts' profile", undefined, undefined, { profile: "assistant" }],
    [
      "serves a phone call by an agent of the hosts",
      "assistant",
      "sip",
      { profile: "assistant", provider: "sip" },
    ],
  ] as const)("%s", (_title, profile, provider, agent) => {
    expect(agentOf(withProviders, profile, provider)).toEqual(agent);
  });

  test("uses the configured default, even if a provider serves it", () => {
    const agent = { profile: "support", provider: "livekit" };
    expect(agentOf({ ...withProviders, defaultProfile: "support" })).toEqual(agent);
  });

  test("needs no host for a provider's profile", () => {
    const noHosts: World = { ...withProviders, hosts: [] };
    expect(agentOf(noHosts)).toEqual({ profile: "support", provider: "livekit" });
    expect(agentOf(noHosts, "legacy")).toEqual({ profile: "legacy", provider: "webhook" });
  });

  test("needs one host that runs the profile and is not draining", () => {
    const failed = aHost({ echo: { status: "failed", error: "boom" } });
    const other = aHost({ echo: {} }, { hostId: "host-2" });
    expect(agentOf({ hosts: [failed, other] }, "echo")).toEqual({ profile: "echo" });
    const draining = { ...other, draining: true };
    expect(agentOf({ hosts: [failed, draining] }, "echo")).toMatchObject({
      refused: "profile_unavailable",
      message: 'The profile "echo" is failed on every host: boom',
    });
  });

  test("accepts a named profile that is still loading", () => {
    const hosts = [aHost({ echo: { status: "stopped" } })];
    expect(agentOf({ hosts }, "echo")).toEqual({ profile: "echo" });
    // The default profile is unknown before the files are loaded.
    expect(agentOf({ hosts })).toMatchObject({
      refused: "profile_unavailable",
      message: 'The profile "echo" is still starting. Retry in a moment.',
    });
    const failing = [aHost({ echo: { status: "stopped", error: "boom" } })];
    expect(agentOf({ hosts: failing }, "echo")).toMatchObject({ refused: "profile_unavailable" });
  });

  test("estimates the start", () => {
    expect(admit({}, "echo")).toEqual({ admitted: { agent: { profile: "echo" }, estimateMs: 1500 } });
    expect(admit({}, "assistant")).toMatchObject({ admitted: { estimateMs: 700 } });
  });
});

describe("admitStart, refusals", () => {
  test("refuses without hosts, or when all are draining", () => {
    expect(admit({ hosts: [] }, "assistant")).toEqual({
      refused: "no_hosts",
      message: "No agent-host is running. Start one with `npm run agent-host`.",
      retryAfterMs: 2000,
    });
    expect(admit({ hosts: [aHost({}, { draining: true })] })).toMatchObject({
      refused: "no_hosts",
      message: expect.stringContaining("Every agent-host is draining."),
    });
  });

  test("refuses an unknown profile, naming the known ones", () => {
    expect(admit({ providers: PROVIDERS }, "nonsense")).toEqual({
      refused: "unknown_profile",
      message: 'No host has an agent file "nonsense". Known: assistant, echo, legacy, support.',
    });
  });

  test("refuses a provider that has no profile", () => {
    expect(admit({}, undefined, "livekit")).toEqual({
      refused: "invalid_request",
      message: "body.profile: required, because GREENROOM_PROVIDERS has no profile for livekit.",
    });
  });

  test("refuses an exclusive room of another session that has not ended", () => {
    const world = (state: SessionRecord["state"]): World => ({
      records: [aSession("other", { room: "den", state })],
    });
    expect(admit(world("ready"), "echo", undefined, "den")).toMatchObject({
      refused: "conflict",
      sessionId: "other",
      message: expect.stringContaining('The room "den" already has the session other.'),
    });
    expect(admit(world("ended"), "echo", undefined, "den")).toHaveProperty("admitted");
    expect(admit(world("ready"), "echo")).toHaveProperty("admitted");
  });

  test("refuses while the gateway has too many pending starts, or lags", () => {
    const pending = Array.from({ length: 4 }, () => ({ profile: "echo" }));
    expect(admit({ accepted: pending.slice(1) }, "echo")).toHaveProperty("admitted");
    expect(admit({ accepted: pending }, "echo")).toMatchObject({
      refused: "overloaded",
      message: "This gateway has 4 starts in progress, its maximum. Retry in a moment.",
      retryAfterMs: expect.any(Number),
    });
    expect(admit({ eventLoopLagMs: 500 }, "echo")).toHaveProperty("admitted");
    expect(admit({ eventLoopLagMs: 501.4 }, "echo")).toMatchObject({
      refused: "overloaded",
      message: "This gateway lags by 501 ms. Retry in a moment.",
    });
  });

  test("refuses while the rest of the store is reserved for running sessions", () => {
    expect(admit({ storeUsage: 0.9 }, "echo")).toHaveProperty("admitted");
    expect(admit({ storeUsage: 0.91 }, "echo")).toMatchObject({
      refused: "storage_full",
      message: expect.stringContaining("The store is 91 % full"),
      retryAfterMs: 5000,
    });
  });

  test("refuses when there is neither an agent nor a place in the wait queue", () => {
    const full = aHost({ echo: { warm: 0, hot: 0, busy: 3, max: 3 } });
    const waiting = (count: number) =>
      Array.from({ length: count }, (_, n) => aSession(`s${n}`, { profile: "echo" }));
    expect(admit({ hosts: [full], records: waiting(4) }, "echo")).toHaveProperty("admitted");
    expect(admit({ hosts: [full], records: waiting(5) }, "echo")).toEqual({
      refused: "at_capacity",
      message: 'Every agent of "echo" is busy, and 5 sessions are waiting. Retry later.',
      // Estimated for the sixth place.
      retryAfterMs: 1500 * 7,
    });
    const free = aHost({ echo: { warm: 1, hot: 0, busy: 3, max: 5 } });
    expect(admit({ hosts: [free], records: waiting(6) }, "echo")).toHaveProperty("admitted");
    expect(admit({ hosts: [free], records: waiting(7) }, "echo")).toMatchObject({ refused: "at_capacity" });
  });

  test("counts accepted starts without a record as waiting", () => {
    const full = aHost({ echo: { warm: 0, hot: 0, busy: 3, max: 3 } });
    const world: World = { hosts: [full], accepted: [{ profile: "echo" }], maxQueueLength: 1 };
    expect(admit(world, "echo")).toMatchObject({ refused: "at_capacity" });
  });
});

describe("the wait queue of an external provider", () => {
  const external = { profile: "support", provider: "livekit" } as const;
  const world = (...records: SessionRecord[]): World => ({
    providers: PROVIDERS,
    records,
    maxQueueLength: 0,
  });

  test("is unlimited until the provider is asked for a second attempt", () => {
    const first = aSession("a", { ...external, attempt: 1 });
    expect(admit(world(first), "support")).toHaveProperty("admitted");
    const repeated = aSession("b", { ...external, attempt: 2 });
    expect(admit(world(first, repeated), "support")).toMatchObject({ refused: "at_capacity" });
  });

  test("excludes sessions that wait for the pool", () => {
    const pooled = aSession("p", { profile: "support", attempt: 3 });
    expect(admit(world(pooled), "support")).toHaveProperty("admitted");
  });
});

describe("a start over HTTP", () => {
  let rig: Rig;
  afterEach(() => rig.stop());

  it("stores the provider, and shows it in every answer", async () => {
    rig = await startRig({ env: { GREENROOM_PROVIDERS: PROVIDERS }, play: "wait" });
    const started = await rig.post("/api/session/start", { profile: "support", wait: 0 });
    expect(started.status).toBe(202);
    expect(started.body).toMatchObject({ profile: "support", provider: "livekit", status: "starting" });
    // The room is final: a provider's agent joins no other room.
    expect(started.body).toMatchObject({
      room: `session-${started.body.sessionId}`,
      token: expect.any(String),
    });
    expect(rig.events()[0]).toMatchObject({ type: "requested", profile: "support", provider: "livekit" });
    const session = await rig.get(`/api/session/${started.body.sessionId}`);
    expect(session.body).toMatchObject({ provider: "livekit" });
    expect((await rig.get("/api/sessions")).body.sessions[0]).toMatchObject({ provider: "livekit" });

    const pooled = await rig.post("/api/session/start", { profile: "echo", provider: "pool", wait: 0 });
    expect(pooled.body).toMatchObject({ profile: "echo", provider: "pool" });
    expect(rig.events().at(-1)).not.toHaveProperty("provider");
  });

  it("rejects unknown providers, and those whose calls come from tasks", async () => {
    rig = await startRig();
    for (const provider of ["livkit", "vapi", "sip"]) {
      const reply = await rig.post("/api/session/start", { profile: "echo", provider });
      expect(reply.status, provider).toBe(400);
      expect(reply.body.error.message).toMatch(/^body\.provider: /);
    }
  });

  it("maps LiveKit's agent name to the profile of its rule", async () => {
    rig = await startRig({ env: { GREENROOM_PROVIDERS: PROVIDERS } });
    const reply = await rig.post("/api/livekit/token", {
      start: "now",
      room_name: "my-room",
      room_config: { agents: [{ agent_name: "support-agent" }] },
    });
    expect(reply.status).toBe(201);
    expect(rig.events()[0]).toMatchObject({ profile: "support", provider: "livekit" });
  });

  it("shows providers' profiles in health as failed without a providers service, else as unknown", async () => {
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
    await until(async () => (await health()).profiles.support.status === "unknown", {
      what: "its heartbeat is seen",
    });
    const { profiles } = await health();
    expect(profiles.support).toMatchObject({ provider: "livekit", busy: 0, max: 0 });
    expect(profiles.assistant).toBeUndefined();
    expect(profiles.echo).toMatchObject({ provider: "webhook" });
  });
});
