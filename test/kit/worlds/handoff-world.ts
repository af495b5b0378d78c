// Handoffs and a simulated agent runner on the memory bus, in simulated time, with a real dispatcher, providers and
// handoffs services.
import { Webhook } from "standardwebhooks";
import { claims, sessions } from "../../../libs/contracts/buckets.ts";
import { type ClaimRecord, HandoffEvent } from "../../../libs/contracts/claims/claim.ts";
import type { ClaimAnswer } from "../../../libs/contracts/claims/http.ts";
import { PROVIDER_EPOCH } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { handoffRequests, sessionEvents } from "../../../libs/contracts/streams.ts";
import { watchHosts } from "../../../libs/fleet/host-view.ts";
import { watchSessions } from "../../../libs/fleet/session-view.ts";
import { simulatedRooms } from "../../../libs/livekit/simulated-rooms.ts";
import { silentLog } from "../../../libs/runtime/log.ts";
import { startDispatcher } from "../../../services/dispatcher/dispatcher.ts";
import { takeClaim } from "../../../services/gateway/claims/take-claim.ts";
import type { Gateway } from "../../../services/gateway/context.ts";
import { startHandoffs } from "../../../services/handoffs/handoffs.ts";
import { manageClaims } from "../../../services/providers/claims/claim-manager.ts";
import { runnerDriver } from "../../../services/providers/drivers/runner.ts";
import { startProviders } from "../../../services/providers/providers.ts";
import type { Faults } from "../../simulation/nats/faults.ts";
import { defaults } from "../fixtures/sessions.ts";
import { world } from "./memory-world.ts";

export const RUNNER_SECRET = `whsec_${Buffer.from("a secret of an agent runner, in tests").toString("base64")}`;
export const LIMITS = { claimMs: 20_000, repeatMs: 30_000, keepMs: 60_000 };

interface LaunchSeen {
  readonly url: string;
  readonly id: string;
  readonly isSigned: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: tests read bodies of any shape.
  readonly body: any;
}

/** An agent runner that records its requests and answers from a script. */
class PlayedRunner {
  readonly seen: LaunchSeen[] = [];
  /** How the clients of the runner's agents answer. */
  client: "responds" | "silent" | "unknown" = "unknown";
  /** The answers to the next requests; 202 after that. */
  readonly script: ((seen: LaunchSeen) => Promise<Response>)[] = [];

  readonly ask: typeof fetch = async (url, init) => {
    const headers = init?.headers as Record<string, string>;
    const body = String(init?.body);
    const id = headers["webhook-id"] ?? "";
    const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
    const expected = new Webhook(RUNNER_SECRET).sign(id, at, body);
    const isSigned = headers["webhook-signature"]?.split(" ").includes(expected) === true;
    const seen = { url: String(url), id, isSigned, body: JSON.parse(body) };
    this.seen.push(seen);
    const signal = init?.signal;
    const broken = new Promise<never>((_, reject) =>
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true }),
    );
    broken.catch(() => {});
    const answer = await Promise.race([this.script.shift()?.(seen), broken]);
    return answer ?? new Response(null, { status: 202 });
  };
}

export interface HandoffWorldOptions {
  readonly faults?: Partial<Faults>;
  readonly seed?: number;
  readonly replicas?: 1 | 3;
  /** False gives handoffs agents of the pool. */
  readonly launcher?: boolean;
  readonly maxAttempts?: number;
  /** True simulates rooms, like LIVEKIT_MOCK_MODE. */
  readonly mock?: boolean;
  /** The time after which an unclaimed claim ticket expires. */
  readonly claimMs?: number;
}

export interface ControlOptions {
  /** False leaves handoffs in their stream. */
  readonly takesHandoffs?: boolean;
  readonly batchSize?: number;
  /** Delays session events, such as the request of a handoff. */
  readonly beforePublish?: () => Promise<void>;
}

export async function handoffWorld(options: HandoffWorldOptions = {}) {
  const { clock, server, connect, outcome } = world(options.faults, options.seed, options.replicas);
  const runner = new PlayedRunner();
  const limits = { ...LIMITS, claimMs: options.claimMs ?? LIMITS.claimMs };
  let tokens = 0;
  const token = async () => `eyJhbGciOiJub25lIn0.token-${++tokens}.signature`;
  const livekit = {
    rooms: simulatedRooms(() => 0),
    tokens: { forUser: token, forAgent: token },
    url: "ws://livekit",
    publicUrl: "wss://livekit.example",
    apiKey: "",
    apiSecret: "",
    isSimulated: options.mock === true,
  };
  await outcome(
    startDispatcher({
      bus: connect("dispatcher"),
      clock,
      log: silentLog,
      livekit,
      instance: "dispatcher-1",
      defaults: { ...defaults, maxAttempts: options.maxAttempts ?? 3 },
    }),
  );
  const client = connect("client");

  /** A process with the roles providers and handoffs. */
  const control = async (instance: string, by: ControlOptions = {}) => {
    const own = clock.forProcess();
    const bus = connect(instance);
    const { beforePublish } = by;
    if (beforePublish !== undefined) {
      const publish = bus.streams.publish.bind(bus.streams);
      bus.streams.publish = async (channel, message) => {
        if ((channel as unknown) === sessionEvents) await beforePublish();
        return publish(channel, message);
      };
    }
    const common = { bus, clock: own, log: silentLog, instance, livekit };
    const provider = runnerDriver({
      ...common,
      runnerOf: (profile) =>
        profile === "nobody"
          ? undefined
          : { url: `http://runner/launch/${profile}`, agent: `its-${profile}` },
      secrets: [RUNNER_SECRET],
      claimMs: limits.claimMs,
      claimUrlOf: (id) => `https://greenroom.example/api/claims/${id}/claim`,
      ask: runner.ask,
      askClient: async () => runner.client,
    });
    const looks = { dispatchTimeoutMs: 4000, userLeftMs: 3000, observeMs: 1000 };
    const start = async () => {
      const sessionView = await watchSessions(bus, own);
      const hosts = await watchHosts(bus);
      const launching = await startProviders({
        ...common,
        providers: [provider],
        limits: looks,
        ringingWaitMs: 60_000,
      });
      const claiming = await manageClaims({ ...common, sessions: sessionView, limits });
      const handoffs = await startHandoffs({
        ...common,
        sessions: sessionView,
        hosts,
        takesHandoffs: by.takesHandoffs ?? true,
        batchSize: by.batchSize ?? 4,
        launcher: options.launcher === false ? undefined : "webhook",
        configuredFor: (profile) => (profile === "elsewhere" ? "webhook" : undefined),
      });
      return async () => {
        await handoffs.stop();
        await claiming.stop();
        await launching.stop();
      };
    };
    const stop = await outcome(start());
    return {
      kill() {
        own.kill();
        bus.crash();
      },
      stop: () => outcome(stop()),
    };
  };

  /** The parts of a gateway that claims use. */
  const gateway = (name: string) =>
    ({ bus: connect(name), clock, log: silentLog, livekit, instance: name }) as unknown as Gateway;
  const first = gateway("gateway-1");
  const record = (id: string): SessionRecord | undefined =>
    server.entries(sessions).find(({ value }) => value.sessionId === id)?.value;
  const all = (): SessionRecord[] => server.entries(sessions).map(({ value }) => value);
  const handoffEvents = (): HandoffEvent[] =>
    server
      .stored<unknown>(handoffRequests)
      .filter(({ subject }) => subject !== handoffRequests.subjects)
      .map(({ message }) => HandoffEvent.parse(message));

  return {
    clock,
    server,
    runner,
    livekit,
    client,
    control,
    gateway,
    outcome,
    record,
    all,
    handoffEvents,
    /** The published handoff events with their attempts: "handoff_dispatched 1", … */
    eventNames: () =>
      handoffEvents().map((event) => `${event.type} ${"attempt" in event ? event.attempt : "-"}`),
    handOff: (message: unknown) => outcome(client.streams.publish(handoffRequests, message)),
    claim: (
      id: string,
      by: { nonce?: string; subject?: string; tenant?: string; at?: Gateway } = {},
    ): Promise<ClaimAnswer> =>
      takeClaim(
        by.at ?? first,
        { tenant: by.tenant ?? "acme", subject: by.subject ?? "runner" },
        id,
        by.nonce ?? "nonce-of-the-runner",
      ),
    claimRecord: (id: string): ClaimRecord | undefined =>
      server.entries(claims).find(({ value }) => value.claimId === id)?.value,
    /** Publishes the event of a runner's report, like the gateway does. */
    report: (claimed: ClaimAnswer, type: "joined" | "ready") =>
      outcome(
        client.streams.publish(sessionEvents, {
          type,
          tenant: "acme",
          sessionId: claimed.sessionId,
          attempt: claimed.attempt,
          at: "2026-01-01T00:00:00.000Z",
          host: "provider-webhook",
          epoch: PROVIDER_EPOCH,
          room: claimed.room,
          identity: claimed.identity,
          warm: "cold",
          tookMs: 1,
        }),
      ),
    async until(isReached: () => boolean, what: string, maxMs = 120_000): Promise<void> {
      if (await clock.runUntil(isReached, maxMs)) return;
      throw new Error(
        `timed out: ${what}; sessions: ${JSON.stringify(all())}; events: ${JSON.stringify(handoffEvents())}`,
      );
    },
  };
}

/** A handoff request like another system sends it. */
export const aHandoff = (changed: Record<string, unknown> = {}) => ({
  version: 1,
  trace_id: "trace-1",
  tenant_id: "acme",
  agent_id: "support",
  room: "call-1",
  call_id: "CA-1",
  metadata: { language: "de" },
  ...changed,
});
