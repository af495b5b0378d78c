// The handoffs service: turns the handoffs of other systems into sessions and publishes what becomes of them.
import type { Ack, Stop } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { claims, sessions } from "../../libs/contracts/buckets.ts";
import {
  type ClaimRecord,
  claimIdOf,
  claimKey,
  type HandoffEvent,
} from "../../libs/contracts/claims/claim.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import type { ProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { handoffEvents } from "../../libs/contracts/streams.ts";
import type { HostView } from "../../libs/fleet/host-view.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import { isoNow } from "../../libs/runtime/clock.ts";
import { consumeHandoffs } from "./handle-handoff.ts";
import { eventsOfClaim, eventsOfSession, isPublished, reportedAttemptOf } from "./handoff-events.ts";

export interface HandoffsDeps extends ServiceDeps {
  readonly sessions: Pick<SessionView, "all">;
  readonly hosts: Pick<HostView, "all">;
  /** False: handoffs stay in their stream. */
  readonly takesHandoffs: boolean;
  readonly batchSize: number;
  /** The provider of all handoffs; undefined: each profile has its own. */
  readonly launcher: ProviderName | undefined;
  /** The configured provider of a profile, if any. */
  readonly configuredFor: (profile: string) => ProviderName | undefined;
}

export async function startHandoffs(deps: HandoffsDeps): Promise<{ stop: Stop }> {
  const stopPublishing = await publishHandoffEvents(deps);
  const stopConsuming = deps.takesHandoffs
    ? await consumeHandoffs({ ...deps, providerOf: (agentId) => providerOf(deps, agentId) })
    : undefined;
  return {
    async stop() {
      await stopConsuming?.();
      await stopPublishing();
    },
  };
}

/** The provider of an agent for an existing room. For a profile that only makes calls, it is the pool. */
export function roomProviderOf(rules: ProviderRules, profile: string): ProviderName | undefined {
  const named = rules.filter((rule) => rule.profile === profile && rule.provider !== "vapi");
  const provider = named[0]?.provider;
  return provider === "sip" ? "pool" : provider;
}

/** Without any host the agents are unknown. The handoff then waits for a host, like any session. */
function providerOf(
  { configuredFor, hosts, launcher }: HandoffsDeps,
  agentId: string,
): ProviderName | undefined {
  const configured = launcher ?? configuredFor(agentId);
  if (configured !== undefined) return configured;
  const all = hosts.all();
  return all.length === 0 || all.some(({ profiles }) => agentId in profiles) ? "pool" : undefined;
}

type PublisherDeps = Pick<ServiceDeps, "bus" | "clock">;

const CONCURRENCY = 64;

/** Publishes every stored revision once, including those that were saved while the service was down. */
async function publishHandoffEvents(deps: PublisherDeps): Promise<Stop> {
  const { bus } = deps;
  const common = { description: "Handoffs service: publishes its events.", concurrency: CONCURRENCY };
  const stops = await Promise.all([
    bus.kv.consume(sessions, { durable: "handoffs-sessions", ...common }, ({ value }) =>
      value === undefined || !isPublished(value) ? done() : publishSession(deps, value),
    ),
    bus.kv.consume(claims, { durable: "handoffs-claims", ...common }, ({ value }) =>
      value === undefined ? done() : publishClaim(deps, value),
    ),
  ]);
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

const done = async (): Promise<Ack> => "ack";

async function publishSession(deps: PublisherDeps, record: SessionRecord): Promise<Ack> {
  const claim =
    record.provider === "webhook"
      ? await deps.bus.kv.get(
          claims,
          claimKey(record.tenant, claimIdOf({ ...record, attempt: reportedAttemptOf(record) })),
        )
      : undefined;
  return publishAll(deps, eventsOfSession(record, claim?.value, isoNow(deps.clock)));
}

const publishClaim = (deps: PublisherDeps, claim: ClaimRecord): Promise<Ack> =>
  publishAll(deps, eventsOfClaim(claim, isoNow(deps.clock)));

/** In order. After a failure the revision is redelivered. */
async function publishAll({ bus }: PublisherDeps, events: readonly HandoffEvent[]): Promise<Ack> {
  for (const event of events) await bus.streams.publish(handoffEvents, event);
  return "ack";
}
