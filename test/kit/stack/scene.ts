// A running stack with the helpers of system tests, which start sessions and inspect them.
import { randomUUID } from "node:crypto";
import { RoomServiceClient } from "livekit-server-sdk";
import { expect } from "vitest";
import type { Bus } from "../../../libs/bus/bus.ts";
import { connectNatsBus } from "../../../libs/bus/nats/nats-bus.ts";
import { conversations, sessions } from "../../../libs/contracts/buckets.ts";
import { DEFAULT_TENANT, sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { liveRooms } from "../../../libs/livekit/live-rooms.ts";
import type { Rooms } from "../../../libs/livekit/rooms.ts";
import { createTokens } from "../../../libs/livekit/tokens.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { until } from "../until.ts";
import { agentsDir, removeAgentsDirs } from "./agents-dir.ts";
import { type Answer, type Json, type Stack, type StackOptions, startStack } from "./stack.ts";

export interface SceneOptions extends Omit<StackOptions, "agentsDir"> {
  /** Names of files of test/agents. */
  readonly agents: readonly string[];
}

/** Long enough for the slowest machine. The limit bounds a failing test and measures nothing. */
export const PATIENCE_MS = 90_000;
/** The longest `wait` that the API accepts. */
const WAIT_MS = 30_000;

/** Limits short enough for a test to wait for. */
const QUICK = {
  GREENROOM_SWEEP_MS: "1000",
  GREENROOM_USER_REJOIN_GRACE_MS: "500",
  GREENROOM_PROCESS_PING_MS: "600",
  GREENROOM_PROCESS_TIMEOUT_MS: "1800",
};

export async function openScene({ agents, env, ...options }: SceneOptions): Promise<Scene> {
  const stack = await startStack({
    ...options,
    agentsDir: agentsDir(...agents),
    env: { ...QUICK, ...env },
  });
  try {
    return new Scene(stack, await busOf(stack));
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

/** Connects a test to the NATS of a stack, for reading. */
export const busOf = (stack: Stack): Promise<Bus> =>
  connectNatsBus({ url: stack.natsUrl, name: "test", replicas: 1, log: silentLog, onLost: () => {} });

export class Scene {
  readonly stack: Stack;
  /** For reading only. A test that publishes here forges events. */
  readonly bus: Bus;

  constructor(stack: Stack, bus: Bus) {
    this.stack = stack;
    this.bus = bus;
  }

  /** The rooms as LiveKit itself reports them. */
  get rooms(): Rooms {
    const { livekit } = this.stack;
    if (livekit === undefined) throw new Error("This stack has no LiveKit");
    const api = livekit.url.replace(/^ws/, "http");
    return liveRooms(new RoomServiceClient(api, livekit.apiKey, livekit.apiSecret, { requestTimeout: 5 }));
  }

  /** A token that LiveKit accepts, as a team's own back end makes it. */
  async tokenFor(of: { room: string; identity: string }): Promise<{ url: string; token: string }> {
    const { livekit } = this.stack;
    if (livekit === undefined) throw new Error("This stack has no LiveKit");
    const tokens = createTokens(livekit.apiKey, livekit.apiSecret);
    return { url: livekit.url, token: await tokens.forUser({ ...of, ttlS: 60 }) };
  }

  /** Requests a session, without any expectation. */
  ask(body: object = {}, headers: Record<string, string> = {}): Promise<Answer> {
    return this.stack.post("/api/session/start", body, headers);
  }

  /** Starts a session and expects it to become ready. */
  async start(body: object = {}): Promise<Json> {
    const key = { "idempotency-key": randomUUID() };
    const ask = () => this.ask({ wait: WAIT_MS, ...body }, key);
    let answer = await ask();
    for (let again = 0; again < 2 && answer.status === 202; again++) answer = await ask();
    expect(answer.body, `the start's answer: ${JSON.stringify(answer.body)}`).toMatchObject({
      success: true,
      status: "ready",
    });
    expect(answer.status).toBe(200);
    return answer.body;
  }

  async session(id: string): Promise<Json> {
    const answer = await this.stack.get(`/api/session/${id}`);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return answer.body;
  }

  /** Waits until the session is as wanted, and returns it. */
  async sessionWhen(id: string, wanted: (session: Json) => boolean, what: string): Promise<Json> {
    let seen: Json;
    return await until(
      async () => {
        seen = (await this.stack.get(`/api/session/${id}`)).body;
        return seen.success === true && wanted(seen) ? seen : undefined;
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 50,
        what: () => `session ${id} ${what}; it is ${JSON.stringify(seen)}`,
      },
    );
  }

  ended(id: string): Promise<Json> {
    return this.sessionWhen(id, ({ state }) => state === "ended", "ends");
  }

  async end(id: string): Promise<Json> {
    await this.stack.post(`/api/session/${id}/end`);
    return await this.ended(id);
  }

  async logs(id: string): Promise<{ level: string; message: string; attempt?: number }[]> {
    return (await this.stack.get(`/api/session/${id}/logs?limit=1000`)).body.lines;
  }

  /** Waits for a line of a session's log that matches. */
  async logged(id: string, text: string | RegExp): Promise<string> {
    let lines: { message: string }[] = [];
    return await until(
      async () => {
        // The session of a token begins a moment after its user has joined.
        lines = (await this.logs(id)) ?? [];
        return lines.find(({ message }) => matches(message, text))?.message;
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 100,
        what: () => `session ${id} logs ${text}; it logged ${JSON.stringify(lines)}`,
      },
    );
  }

  /** The job that the agent of an attempt got, which test agents log when `entry` starts. */
  async job(id: string, attempt = 1): Promise<Json> {
    const line = await this.logged(id, new RegExp(`^job .*"attempt":${attempt}[,}]`));
    return JSON.parse(line.slice("job ".length));
  }

  health = async (): Promise<Json> => (await this.stack.get("/api/health")).body;
  hosts = async (): Promise<Json[]> => (await this.stack.get("/api/hosts")).body.hosts;

  /** The host, agent process and slot that serve a session, as the hosts report them. */
  async slotOf(id: string): Promise<{ host: Json; agentProcess: Json; slot: Json } | undefined> {
    for (const host of await this.hosts())
      for (const agentProcess of host.processes)
        for (const slot of agentProcess.slots) if (slot.sessionId === id) return { host, agentProcess, slot };
    return undefined;
  }

  /** Waits until a pool has the wanted idle agents and starts no more. */
  async pool(profile: string, wanted: { idle: number; hot?: number }): Promise<void> {
    let seen: Json;
    await until(
      async () => {
        seen = (await this.health()).profiles?.[profile];
        if (seen === undefined || seen.warming > 0) return false;
        return seen.warm + seen.hot === wanted.idle && (wanted.hot === undefined || seen.hot === wanted.hot);
      },
      {
        timeoutMs: PATIENCE_MS,
        everyMs: 50,
        what: () => `${profile} has ${JSON.stringify(wanted)}; it has ${JSON.stringify(seen)}`,
      },
    );
  }

  /** Every stored revision of a session's record, oldest first. */
  async revisions(id: string): Promise<SessionRecord[]> {
    const entries = await this.bus.kv.history(
      sessions,
      sessionKey({ tenant: DEFAULT_TENANT, sessionId: id }),
    );
    return entries.map(({ value }) => value);
  }

  async stop(): Promise<void> {
    await this.bus.close();
    await this.stack.stop();
    removeAgentsDirs();
  }
}

/** Waits until the stored conversation of a session ends with this message. */
export async function conversationEndsWith(bus: Bus, sessionId: string, text: string): Promise<void> {
  let last: unknown;
  await until(
    async () => {
      const entry = await bus.kv.get(conversations, sessionKey({ tenant: DEFAULT_TENANT, sessionId }));
      last = entry?.value.items.findLast(({ type }) => type === "message")?.content;
      return Array.isArray(last) && last.join("") === text;
    },
    {
      timeoutMs: PATIENCE_MS,
      everyMs: 50,
      what: () => `"${text}" is stored; stored: ${JSON.stringify(last)}`,
    },
  );
}

const matches = (message: string, text: string | RegExp): boolean =>
  typeof text === "string" ? message.includes(text) : text.test(message);

/** Returns the states and attempts of a session's history: "requested 1", "dispatched 1", … */
export const lifeOf = (session: { history: { state: string; attempt: number }[] }): string[] =>
  session.history.map(({ state, attempt }) => `${state} ${attempt}`);

/** Returns the reasons in a session's history. */
export const reasonsOf = (session: { history: { reason?: string }[] }): string[] =>
  session.history.flatMap(({ reason }) => reason ?? []);

/** Requests a session of the troubled agent without waiting for it, and returns its id. */
export async function askTroubled(scene: Scene, fault: string, more: object = {}): Promise<string> {
  const { status, body } = await scene.ask({ profile: "troubled", wait: 0, metadata: { fault, ...more } });
  // The answer reports an agent that has failed already.
  const sessionId = status === 503 ? body.error.sessionId : body.sessionId;
  expect(sessionId, JSON.stringify(body)).toMatch(/^s_/);
  return sessionId;
}
