// A gateway on the memory bus, with a simulated dispatcher and hosts.

import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { AccessToken } from "livekit-server-sdk";
import type { Bus, Entry } from "../../../libs/bus/bus.ts";
import { hosts, sessions } from "../../../libs/contracts/buckets.ts";
import type { HostProfile, HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { agentIdentityOf, sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord, Warmth } from "../../../libs/contracts/sessions/session.ts";
import { sessionEvents } from "../../../libs/contracts/streams.ts";
import { newSession, reduceSession } from "../../../libs/domain/session/reduce.ts";
import type { SessionInput } from "../../../libs/domain/session/transitions.ts";
import { watchHosts } from "../../../libs/fleet/host-view.ts";
import { watchSessions } from "../../../libs/fleet/session-view.ts";
import { connectLiveKit } from "../../../libs/livekit/connect.ts";
import type { LiveKit } from "../../../libs/livekit/rooms.ts";
import { systemClock } from "../../../libs/runtime/clock.ts";
import { readConfig } from "../../../libs/runtime/config.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { createMetrics } from "../../../libs/runtime/metrics.ts";
import { gatewaySettings } from "../../../services/gateway/config.ts";
import { buildGateway } from "../../../services/gateway/gateway.ts";
import { createMemoryServer, type MemoryServer } from "../../simulation/nats/memory-server.ts";
import { createRandom } from "../random.ts";
import { until } from "../until.ts";

const TENANT = "default";
const HOST = "host-1";
const EPOCH = 1;
const deadlineMs = {
  requested: 60_000,
  dispatched: 10_000,
  coldExtra: 10_000,
  joined: 15_000,
  maxDuration: 3_600_000,
  idle: 1_800_000,
  userAbsent: 300_000,
};

/** The simulated dispatcher's handling of a requested session. */
type Play = "ready" | "wait" | "ignore" | ((record: SessionRecord) => SessionInput[]);

export interface RigOptions {
  readonly env?: Record<string, string>;
  readonly play?: Play;
  /** The attempts of each session. By default 1, so that a lost agent ends the session. */
  readonly maxAttempts?: number;
  readonly hosts?: HostRecord[];
  /** Null means that no LiveKit is configured. */
  readonly livekit?: LiveKit | null;
}

export interface Rig {
  readonly app: FastifyInstance;
  readonly server: MemoryServer;
  readonly livekit: LiveKit | undefined;
  /** A client of the bus besides the gateway's. */
  readonly bus: ReturnType<MemoryServer["connect"]>;
  /** Starts another gateway on the same bus, or on a changed one. */
  another(change?: (bus: Bus) => Bus): Promise<FastifyInstance>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  get(path: string, headers?: Record<string, string>): Promise<Reply>;
  remove(path: string): Promise<Reply>;
  put(path: string, body: object): Promise<Reply>;
  /** Applies inputs to a session like the dispatcher does, and saves each state. */
  move(sessionId: string, ...inputs: SessionInput[]): Promise<void>;
  /** All session events. */
  events(): SessionEvent[];
  setPlay(play: Play): void;
  /** The server's sockets of open connections. */
  openSockets(): readonly Socket[];
  stop(): Promise<void>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Record<string, string | string[] | number | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers of any shape.
  readonly body: any;
}

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const server = createMemoryServer({ clock: systemClock, random: createRandom(1) });
  const bus = server.connect("test");
  for (const host of options.hosts ?? [aHost()]) await bus.kv.update(hosts, host, 0);
  const livekit = options.livekit === null ? undefined : (options.livekit ?? connectLiveKit(mockLiveKit));
  let play = options.play ?? "ready";
  const stops: (() => Promise<unknown>)[] = [];
  stops.push(await playDispatcher(bus, () => play, options.maxAttempts ?? 1));

  const build = async (change: (bus: Bus) => Bus = (same) => same) => {
    const own = change(server.connect("gateway"));
    const hostView = await watchHosts(own);
    const sessionView = await watchSessions(own, systemClock);
    const app = buildGateway({
      bus: own,
      clock: systemClock,
      log: silentLog,
      config: readConfig(gatewaySettings, options.env ?? {}, []),
      livekit,
      hosts: hostView,
      sessions: sessionView,
      metrics: createMetrics("gateway"),
      instance: "gateway-test",
    });
    await app.ready();
    stops.unshift(async () => {
      await app.close();
      await hostView.stop();
      await sessionView.stop();
    });
    return app;
  };
  const app = await build();
  const sockets = new Set<Socket>();
  app.server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  return {
    app,
    server,
    livekit,
    bus,
    another: build,
    post: (path, body, headers = {}) => send(app, "POST", path, body, headers),
    get: (path, headers = {}) => send(app, "GET", path, undefined, headers),
    remove: (path) => send(app, "DELETE", path, undefined, {}),
    put: (path, body) => send(app, "PUT", path, body, {}),
    move: (sessionId, ...inputs) => move(bus, sessionId, inputs),
    events: () => server.stored(sessionEvents).map(({ message }) => message),
    setPlay(next) {
      play = next;
    },
    openSockets: () => [...sockets],
    async stop() {
      for (const stop of stops) await stop();
    },
  };
}

export interface LiveKitWebhook {
  readonly event: string;
  readonly room: string;
  readonly madeAtS?: number;
  readonly identity?: string;
  readonly name?: string;
  readonly kind?: string;
  readonly attributes?: Record<string, string>;
  readonly metadata?: string;
  readonly roomMetadata?: string;
}

/** Sends a webhook as LiveKit does. @returns the status of the gateway's answer */
export async function receiveWebhook(
  { app, livekit }: Rig,
  { event, room, madeAtS = 1000, roomMetadata, ...participant }: LiveKitWebhook,
): Promise<number> {
  const payload = JSON.stringify({
    event,
    id: "EV_1",
    room: { name: room, sid: "RM_1", creationTime: String(madeAtS), metadata: roomMetadata ?? "" },
    ...(participant.identity === undefined ? {} : { participant }),
  });
  const token = new AccessToken(livekit?.apiKey ?? "", livekit?.apiSecret ?? "");
  token.sha256 = createHash("sha256").update(payload).digest("base64");
  const headers = { "content-type": "application/webhook+json", authorization: await token.toJwt() };
  const reply = await app.inject({ method: "POST", url: "/api/livekit/webhook", headers, payload });
  return reply.statusCode;
}

/** Simulated rooms that a test itself joins. */
export const joinableRooms = (): LiveKit => {
  const livekit = connectLiveKit(mockLiveKit);
  if (livekit === undefined) throw new Error("LIVEKIT_MOCK_MODE gives no LiveKit");
  return { ...livekit, isSimulated: false };
};

const mockLiveKit = {
  LIVEKIT_URL: undefined,
  LIVEKIT_PUBLIC_URL: undefined,
  LIVEKIT_API_KEY: undefined,
  LIVEKIT_API_SECRET: undefined,
  LIVEKIT_MOCK_MODE: true,
};

async function send(
  app: FastifyInstance,
  method: "GET" | "POST" | "PUT" | "DELETE",
  url: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Reply> {
  const payload = body === undefined ? {} : { payload: body as object };
  const reply = await app.inject({ method, url, headers, ...payload });
  const isJson = /[/+]json/.test(String(reply.headers["content-type"] ?? ""));
  return {
    status: reply.statusCode,
    headers: reply.headers,
    body: isJson ? reply.json() : reply.payload,
  };
}

const runningProfile = {
  status: "running",
  isolation: "shared",
  warm: 2,
  hot: 1,
  warming: 0,
  busy: 0,
  max: 50,
} as const;

/** A host that runs the profile echo with idle agents by default. */
export const aHost = (
  profiles: Record<string, Partial<HostProfile>> = { echo: {} },
  more: Partial<HostRecord> = {},
): HostRecord => ({
  hostId: HOST,
  epoch: EPOCH,
  pid: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  draining: false,
  sessions: 0,
  load: 0,
  maxAgents: 50,
  sequence: 1,
  profiles: Object.fromEntries(
    Object.entries(profiles).map(([name, profile]) => [
      name,
      { ...runningProfile, ...profile } as HostProfile,
    ]),
  ),
  processes: [],
  stats: { spawned: 5, assigned: 2, lost: 1, unhandledRejections: 0 },
  ...more,
});

const at = () => new Date().toISOString();

/** Returns the inputs that make an attempt ready. */
export function becomeReady(
  record: Pick<SessionRecord, "sessionId" | "attempt"> & Partial<Pick<SessionRecord, "room" | "roomIsNamed">>,
  warm: Warmth = "hot",
): SessionInput[] {
  const { attempt } = record;
  const slot = {
    tenant: TENANT,
    sessionId: record.sessionId,
    attempt,
    host: HOST,
    epoch: EPOCH,
    room: (record.roomIsNamed && record.room) || `standby-${record.sessionId}`,
    identity: agentIdentityOf({ sessionId: record.sessionId, attempt }),
    warm,
    at: at(),
  };
  return [
    { type: "host_chosen", attempt, host: HOST, epoch: EPOCH, requestedWarmth: warm, at: at() },
    { type: "joined", ...slot, tookMs: 3 },
    { type: "ready", ...slot, tookMs: 5 },
  ];
}

/** Returns the input that ends an attempt because its agent is lost. */
export const loseAgent = (
  record: Pick<SessionRecord, "sessionId" | "attempt">,
  reason: string,
): SessionInput => ({
  type: "agent_lost",
  tenant: TENANT,
  sessionId: record.sessionId,
  attempt: record.attempt,
  at: at(),
  reason,
});

async function playDispatcher(
  bus: Bus,
  play: () => Play,
  maxAttempts: number,
): Promise<() => Promise<unknown>> {
  return bus.streams.consume(
    sessionEvents,
    { durable: "dispatcher", description: "a test", concurrency: 16 },
    async (event) => {
      const how = play();
      if (how === "ignore") return "ack";
      if (event.type !== "requested") {
        await move(bus, event.sessionId, [event]);
        return "ack";
      }
      if (
        (await bus.kv.get(sessions, sessionKey({ tenant: TENANT, sessionId: event.sessionId }))) !== undefined
      )
        return "ack";
      const record = newSession(event, { deadlineMs, maxAttempts }, undefined, at());
      await bus.kv.update(sessions, record, 0);
      if (how === "ready") await move(bus, record.sessionId, becomeReady(record));
      else if (typeof how === "function") await move(bus, record.sessionId, how(record));
      return "ack";
    },
  );
}

async function move(bus: Bus, sessionId: string, inputs: SessionInput[]): Promise<void> {
  for (const input of inputs) {
    const { value, revision } = await until<Entry<SessionRecord>>(
      () => bus.kv.get(sessions, sessionKey({ tenant: TENANT, sessionId })),
      { what: `${sessionId} has a record` },
    );
    const next = reduceSession(value, input);
    if (next !== value) await bus.kv.update(sessions, next, revision);
  }
}
