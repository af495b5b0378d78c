// Lost hosts: when a janitor gives up their sessions, and when it leaves them alone.
import { describe, expect, test } from "vitest";
import type { Bus } from "../../../../libs/bus/bus.ts";
import { GreenroomError } from "../../../../libs/contracts/errors.ts";
import type { HostRecord } from "../../../../libs/contracts/fleet/host.ts";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { agentAnswerOfError } from "../../../../libs/livekit/ask-agent.ts";
import type { LiveKit } from "../../../../libs/livekit/rooms.ts";
import { silentLog } from "../../../../libs/runtime/log.ts";
import { LostHostHandler } from "../../../../services/janitor/handle-lost-hosts.ts";
import { livesOf } from "../../../../services/janitor/host-monitor.ts";
import { aHost, aSession } from "../../../kit/fixtures/sessions.ts";
import { createSimClock } from "../../../kit/sim-clock.ts";

/** A host's reaction to a ping: it answers with its epoch, does not exist, or is silent. */
type Answer = number | "no_responders" | "timeout";
/** LiveKit's answer about an agent: whether it responds, or that LiveKit is unavailable. */
type AgentAnswer = boolean | "unavailable";

const PING_TIMEOUT_MS = 500;
const ALIVE_MS = 300;
const current = { hostId: "h", epoch: 7 };
const served = (id: string, changed: Partial<SessionRecord> = {}): SessionRecord =>
  aSession(id, {
    state: "ready",
    host: "h",
    hostEpoch: 7,
    identity: `agent-${id}-1`,
    ...changed,
  });

function scene(records: SessionRecord[], options: { simulated?: boolean } = {}) {
  const clock = createSimClock();
  const world = {
    host: 7 as Answer,
    /**
     * Time in ms after which the janitor notices an unanswered ping; longer if the janitor itself was
     * stopped.
     */
    silenceMs: PING_TIMEOUT_MS,
    agents: true as AgentAnswer,
    connected: true,
    stored: aHost("h", 1, { epoch: 7 }) as HostRecord | undefined,
    pings: 0,
    probed: 0,
    lost: [] as { sessionId: string; reason: string; atMs: number }[],
  };
  const after = <T>(ms: number, result: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      clock.after(ms, () => {
        try {
          resolve(result());
        } catch (error) {
          reject(error);
        }
      });
    });
  const bus = {
    isConnected: () => world.connected,
    core: {
      request: () => {
        world.pings += 1;
        const { host } = world;
        return after(host === "timeout" ? world.silenceMs : 1, () => {
          if (typeof host === "number") return { hostId: "h", epoch: host, sequence: 1 };
          throw new GreenroomError(host, host);
        });
      },
    },
    kv: {
      get: async () =>
        world.stored === undefined ? undefined : { key: "h", value: world.stored, revision: 1 },
      delete: async () => {
        world.stored = undefined;
        return true;
      },
    },
  } as unknown as Bus;
  const livekit = {
    isSimulated: options.simulated ?? false,
    rooms: {
      answers: (_room: string, _identity: string, withinMs: number) => {
        world.probed += 1;
        const { agents } = world;
        return after(agents === true ? 5 : withinMs, () => {
          if (agents === "unavailable") throw new GreenroomError("livekit_unavailable", "away");
          return agents;
        });
      },
    },
  } as unknown as LiveKit;
  const lostHosts = new LostHostHandler({
    bus,
    clock,
    log: silentLog,
    livekit,
    agentPingTimeoutMs: ALIVE_MS,
    hosts: () => (world.stored === undefined ? [] : [world.stored]),
    records: () => records,
    publishLost: async (record, reason) => {
      world.lost.push({ sessionId: record.sessionId, reason, atMs: clock.monotonic() });
      const at = records.indexOf(record);
      if (at >= 0) records[at] = { ...record, state: "requested" };
    },
  });
  lostHosts.follow();
  const sessions = () => world.lost.map(({ sessionId }) => sessionId);
  return { clock, world, lostHosts, sessions };
}

describe("LostHostHandler, a killed host", () => {
  test("gives up ready sessions as soon as their agents had time to answer", async () => {
    const { clock, world, sessions } = scene([served("a"), served("b")]);
    await clock.advance(1000);
    expect(sessions()).toEqual([]);
    world.host = "no_responders";
    world.agents = false;
    const since = clock.monotonic();
    await clock.advance(600);
    expect(sessions()).toEqual(["a", "b"]);
    for (const { atMs, reason } of world.lost) {
      expect(atMs - since).toBeGreaterThanOrEqual(ALIVE_MS);
      expect(atMs - since).toBeLessThanOrEqual(ALIVE_MS + 110);
      expect(reason).toBe("host h is gone: no process responds");
    }
  });

  test("does not wait for a ping that was lost with the host", async () => {
    const { clock, world, sessions } = scene([served("a")]);
    await clock.advance(1000);
    const { pings } = world;
    world.host = "timeout";
    world.agents = false;
    const since = clock.monotonic();
    await clock.runUntil(() => world.pings > pings, 1000);
    world.host = "no_responders";
    await clock.advance(1000);
    expect(sessions()).toEqual(["a"]);
    expect((world.lost[0]?.atMs ?? 0) - since).toBeLessThan(PING_TIMEOUT_MS + ALIVE_MS);
  });

  test("gives up sessions on their way only after a long absence", async () => {
    const { clock, world, sessions } = scene([served("a", { state: "dispatched", identity: undefined })]);
    world.host = "no_responders";
    world.agents = false;
    await clock.advance(1900);
    expect(sessions()).toEqual([]);
    await clock.advance(800);
    expect(sessions()).toEqual(["a"]);
  });

  test("deletes the registration once the loss is confirmed, and not before", async () => {
    const { clock, world } = scene([served("a")]);
    world.host = "no_responders";
    world.agents = false;
    await clock.advance(1900);
    expect(world.stored).toBeDefined();
    await clock.advance(800);
    expect(world.stored).toBeUndefined();
  });
});

describe("LostHostHandler, a hanging host", () => {
  test("gives up nothing after the janitor itself was stopped, until it has asked again", async () => {
    const { clock, world, sessions } = scene([served("a")]);
    world.host = "timeout";
    world.agents = false;
    await clock.advance(900);
    world.silenceMs = 5000;
    await clock.advance(6000);
    expect(sessions()).toEqual([]);
    world.silenceMs = PING_TIMEOUT_MS;
    await clock.advance(7500);
    expect(sessions()).toEqual(["a"]);
  });

  test("gives up sessions after three unanswered pings, when their agents are silent too", async () => {
    const { clock, world, sessions } = scene([served("a")]);
    world.host = "timeout";
    world.agents = false;
    await clock.advance(1400);
    expect(sessions()).toEqual([]);
    await clock.advance(800);
    expect(sessions()).toEqual(["a"]);
    expect(world.lost[0]?.reason).toMatch(/^host h hangs: no answer for \d\.\d s$/);
  });

  test("keeps sessions when the host answers in time", async () => {
    const { clock, world, sessions } = scene([served("a")]);
    world.agents = false;
    for (let i = 0; i < 5; i++) {
      world.host = "timeout";
      await clock.advance(900);
      world.host = 7;
      await clock.advance(700);
    }
    expect(sessions()).toEqual([]);
  });
});

describe("LostHostHandler, keeping sessions", () => {
  test("keeps sessions while their agents answer, and their host registered, however long it is cut off", async () => {
    const { clock, world, sessions } = scene([served("a"), served("b", { state: "joined" })]);
    world.host = "no_responders";
    await clock.advance(60_000);
    expect(sessions()).toEqual([]);
    expect(world.stored).toBeDefined();
    world.agents = false;
    await clock.advance(3000);
    expect(sessions()).toEqual(["a", "b"]);
  });

  test("keeps sessions while LiveKit is unavailable", async () => {
    const { clock, world, sessions } = scene([served("a")]);
    world.host = "no_responders";
    world.agents = "unavailable";
    await clock.advance(30_000);
    expect(sessions()).toEqual([]);
  });

  test("keeps sessions while the janitor is cut off itself", async () => {
    const { clock, world, sessions } = scene([served("a")]);
    world.host = "timeout";
    world.agents = false;
    world.connected = false;
    await clock.advance(30_000);
    expect(sessions()).toEqual([]);
  });

  test("keeps sessions when their host reconnects, for example after its NATS server was restarted", async () => {
    const { clock, world, sessions } = scene([served("a"), served("b", { state: "dispatched" })]);
    for (let i = 0; i < 5; i++) {
      world.host = "no_responders";
      await clock.advance(700);
      world.host = 7;
      await clock.advance(300);
    }
    expect(sessions()).toEqual([]);
    expect(world.stored).toBeDefined();
  });
});

test("gives up sessions of an earlier epoch when a later one answers", async () => {
  const { clock, world, sessions } = scene([served("a"), served("b", { hostEpoch: 8 })]);
  world.agents = false;
  world.host = 8;
  await clock.advance(1000);
  expect(sessions()).toEqual(["a"]);
});

test("decides by the host's silence alone with simulated rooms, which nobody else can see", async () => {
  const { clock, world, sessions } = scene([served("a")], { simulated: true });
  world.host = "no_responders";
  await clock.advance(1900);
  expect(sessions()).toEqual([]);
  await clock.advance(800);
  expect(sessions()).toEqual(["a"]);
  expect(world.probed).toBe(0);
});

test("pings a host ten times a second while sessions name it, and twice a second otherwise", async () => {
  const records: SessionRecord[] = [];
  const { clock, world, lostHosts } = scene(records);
  const pingsIn = async (ms: number) => {
    const before = world.pings;
    await clock.advance(ms);
    return world.pings - before;
  };
  expect(await pingsIn(10_000)).toBeLessThanOrEqual(21);
  await clock.advance(100);
  records.push(served("a"));
  lostHosts.follow();
  expect(await pingsIn(10)).toBe(1);
  expect(await pingsIn(10_000)).toBeGreaterThan(80);
  records.length = 0;
  lostHosts.follow();
  expect(await pingsIn(10_000)).toBeLessThanOrEqual(21);
});

test("pings a deleted host no longer", async () => {
  const { clock, world, lostHosts } = scene([]);
  await clock.advance(10_000);
  expect(world.pings).toBeGreaterThan(0);
  world.host = "timeout";
  await clock.advance(4000);
  world.stored = undefined;
  lostHosts.follow();
  await clock.advance(1000);
  const before = world.pings;
  await clock.advance(10_000);
  expect(world.pings).toBe(before);
});

test("pings an earlier epoch too, while sessions have it", () => {
  const records = [
    served("a", { hostEpoch: 3 }),
    served("b", { state: "joined" }),
    served("c", { state: "ended", host: "x", hostEpoch: 1 }),
    aSession("d", {}),
  ];
  expect(livesOf([current], records)).toEqual([
    { ...current, isBusy: true },
    { hostId: "h", epoch: 3, isBusy: true },
  ]);
});

test("never pings a provider", () => {
  const records = [served("a", { provider: "livekit", host: "provider-livekit", hostEpoch: 1 })];
  expect(livesOf([current], records)).toEqual([current]);
});

describe("agentAnswerOfError", () => {
  const body = (code: string, msg: string) => JSON.stringify({ code, msg });

  test.each([
    ["no answer in time", 408, body("canceled", "twirp error unknown: RpcError 1502: Response timeout")],
    ["an unknown method", 400, body("invalid_argument", "RpcError 1400: Method not supported")],
    ["an agent that leaves", 500, body("internal", "RpcError 1500: the agent is leaving")],
    [
      "no node with the participant",
      503,
      body("unavailable", "twirp error unknown: no response from servers"),
    ],
    ["an absent participant", 404, body("not_found", "participant does not exist")],
  ])("maps %s to silent", (_, status, text) => {
    expect(agentAnswerOfError(status, text)).toBe("silent");
  });

  test.each([
    ["twirp", 404, body("bad_route", "no handler for path")],
    ["a proxy", 404, "404 page not found"],
  ])("maps a server without such requests to unsupported (%s)", (_, status, text) => {
    expect(agentAnswerOfError(status, text)).toBe("unsupported");
  });

  test.each([
    [503, body("unavailable", "could not reach redis")],
    [401, body("unauthenticated", "invalid token")],
    [502, "Bad Gateway"],
  ])("throws an error of LiveKit itself (%d)", (status, text) => {
    expect(() => agentAnswerOfError(status, text)).toThrow(String(status));
  });
});
