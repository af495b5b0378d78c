// Decides whether a session may start, with an agent of which profile and provider, and how long the start takes.
import type { ErrorCode } from "../../../libs/contracts/errors.ts";
import type { HostRecord } from "../../../libs/contracts/fleet/host.ts";
import { isExternal, type ProviderName } from "../../../libs/contracts/providers/provider.ts";
import { type ProviderRules, providerOf } from "../../../libs/contracts/providers/provider-rules.ts";
import { queueKeyOf } from "../../../libs/domain/capacity.ts";
import type { GatewayConfig } from "../config.ts";
import type { Gateway } from "../context.ts";
import { type AgentRequest, type Capacity, capacityFor, waitingWith } from "./capacity.ts";
import { defaultProfile, isLoadingOn, isRunningOn, knownProfiles, liveHosts, profileOn } from "./profiles.ts";

/** The part of a start that its admission depends on. */
export interface AdmissionRequest {
  readonly sessionId: string;
  readonly profile: string | undefined;
  readonly provider: ProviderName | undefined;
  /** A room that no other session may have. */
  readonly exclusiveRoom: string | undefined;
}

/** The state of the gateway that the decision depends on. */
export interface StartFacts {
  readonly hosts: Pick<Gateway["hosts"], "all">;
  readonly sessions: Pick<Gateway["sessions"], "all" | "waiting">;
  readonly accepted: ReadonlyMap<string, { readonly requested: AgentRequest }>;
  readonly startTimes: Gateway["startTimes"];
  readonly load: Pick<Gateway["load"], "current">;
  readonly config: Pick<
    GatewayConfig,
    | "GREENROOM_PROVIDERS"
    | "GREENROOM_DEFAULT_PROFILE"
    | "GREENROOM_MAX_PENDING_STARTS"
    | "GREENROOM_MAX_EVENT_LOOP_LAG_MS"
    | "GREENROOM_MAX_QUEUE_LENGTH"
  >;
}

export interface Refusal {
  readonly refused: ErrorCode;
  readonly message: string;
  readonly retryAfterMs?: number;
  /** The session that has the room. */
  readonly sessionId?: string;
}

interface Admitted {
  /** The agent to request. A session without a provider gets its agent from the pool. */
  readonly agent: AgentRequest;
  /** How long the start takes until the agent is ready. */
  readonly estimateMs: number;
}

export type StartDecision = { readonly admitted: Admitted } | Refusal;

const NO_HOSTS_RETRY_MS = 2000;
const UNAVAILABLE_RETRY_MS = 5000;
const STORE_RETRY_MS = 5000;
/** The share of the store that is kept for existing sessions. A full store takes neither their updates nor their end. */
const STORE_RESERVE = 0.1;

export function admitStart(facts: StartFacts, request: AdmissionRequest): StartDecision {
  const conflict = refuseTakenRoom(facts, request);
  if (conflict !== undefined) return conflict;
  const agent = resolveAgent(facts, request);
  if ("refused" in agent) return agent;
  const capacity = capacityFor(facts, agent);
  const refusal = refuseOverload(facts) ?? refuseFullQueue(facts, agent, capacity);
  return refusal ?? { admitted: { agent, estimateMs: estimateStartMs(facts, agent, 0) } };
}

/**
 * How long a session takes until its agent is ready, by the agents that are free now and the starts that were measured.
 * @param position the position in the wait queue; 0 for none
 */
export const estimateStartMs = (
  facts: Pick<StartFacts, "hosts" | "sessions" | "startTimes">,
  agent: AgentRequest,
  position: number,
): number => facts.startTimes.estimateMs(queueKeyOf(agent), capacityFor(facts, agent), position);

function refuseTakenRoom({ sessions }: StartFacts, request: AdmissionRequest): Refusal | undefined {
  const { exclusiveRoom: room, sessionId } = request;
  if (room === undefined) return undefined;
  const other = sessions
    .all()
    .find(({ record }) => record.room === room && record.state !== "ended" && record.sessionId !== sessionId);
  return other === undefined
    ? undefined
    : {
        refused: "conflict",
        message: `The room "${room}" already has the session ${other.record.sessionId}. Use /api/token to get a token for this room.`,
        sessionId: other.record.sessionId,
      };
}

/** A profile of an external provider needs no host: only the provider knows whether it has such an agent. */
function resolveAgent(facts: StartFacts, request: AdmissionRequest): AgentRequest | Refusal {
  const { GREENROOM_PROVIDERS: rules, GREENROOM_DEFAULT_PROFILE: configured } = facts.config;
  const hosts = facts.hosts.all();
  const profile = request.profile ?? defaultByRules(hosts, rules, request.provider, configured);
  const provider = profile === undefined ? request.provider : providerOf(rules, profile, request.provider);
  if (!isExternal(provider)) return chooseFromHosts(facts, request, provider);
  if (profile !== undefined) return { profile, provider };
  return {
    refused: "invalid_request",
    message: `body.profile: required, because GREENROOM_PROVIDERS has no profile for ${provider}.`,
  };
}

/** The profile of a start that names none, as far as the provider rules decide it. */
function defaultByRules(
  hosts: readonly HostRecord[],
  rules: ProviderRules,
  provider: ProviderName | undefined,
  configured: string | undefined,
): string | undefined {
  if (provider !== undefined)
    return isExternal(provider) ? rules.find((rule) => rule.provider === provider)?.profile : undefined;
  if (configured !== undefined) return configured;
  const external = rules.find((rule) => isExternal(rule.provider));
  return liveHosts(hosts).length === 0 ? external?.profile : undefined;
}

/**
 * A profile that hosts run. A session may wait for a named profile that is still loading. The default profile is only
 * known once the files are loaded.
 */
function chooseFromHosts(
  facts: StartFacts,
  request: AdmissionRequest,
  provider: ProviderName | undefined,
): AgentRequest | Refusal {
  const { GREENROOM_PROVIDERS: rules, GREENROOM_DEFAULT_PROFILE: configured } = facts.config;
  const hosts = liveHosts(facts.hosts.all());
  if (hosts.length === 0) return noHosts(facts);
  const profile = request.profile ?? defaultProfile(hosts, configured);
  const known = knownProfiles(hosts);
  if (profile === undefined || !known.includes(profile)) {
    const external = rules.filter((rule) => isExternal(rule.provider)).map((rule) => rule.profile);
    const all = [...new Set([...known, ...external])].sort();
    const names = all.length === 0 ? "Their agents folders are empty" : `Known: ${all.join(", ")}`;
    return { refused: "unknown_profile", message: `No host has an agent file "${profile ?? ""}". ${names}.` };
  }
  const mayWait = request.profile !== undefined && isLoadingOn(hosts, profile);
  if (!isRunningOn(hosts, profile) && !mayWait) return unavailable(hosts, profile);
  return provider === undefined || provider === "pool" ? { profile } : { profile, provider };
}

const noHosts = ({ hosts }: StartFacts): Refusal => ({
  refused: "no_hosts",
  message:
    hosts.all().length === 0
      ? "No agent-host is running. Start one with `npm run agent-host`."
      : "Every agent-host is draining. Start another one, or retry later.",
  retryAfterMs: NO_HOSTS_RETRY_MS,
});

function unavailable(hosts: readonly HostRecord[], profile: string): Refusal {
  const states = profileOn(hosts, profile);
  const status = states.find(({ status }) => status === "failed")?.status ?? states[0]?.status ?? "stopped";
  const reasons = [...new Set(states.flatMap(({ error }) => error ?? []))].join("; ");
  const message = isLoadingOn(hosts, profile)
    ? `The profile "${profile}" is still starting. Retry in a moment.`
    : `The profile "${profile}" is ${status} on every host${reasons === "" ? "." : `: ${reasons}`}`;
  return { refused: "profile_unavailable", message, retryAfterMs: UNAVAILABLE_RETRY_MS };
}

function refuseOverload({ accepted, config, load }: StartFacts): Refusal | undefined {
  const { GREENROOM_MAX_PENDING_STARTS: maxPending, GREENROOM_MAX_EVENT_LOOP_LAG_MS: maxLagMs } = config;
  const { eventLoopLagMs, storeUsage } = load.current();
  const overloaded = (message: string): Refusal => ({
    refused: "overloaded",
    message: `${message} Retry in a moment.`,
    retryAfterMs: spreadRetryMs(maxPending),
  });
  if (accepted.size >= maxPending)
    return overloaded(`This gateway has ${accepted.size} starts in progress, its maximum.`);
  if (eventLoopLagMs > maxLagMs) return overloaded(`This gateway lags by ${Math.round(eventLoopLagMs)} ms.`);
  if (storeUsage <= 1 - STORE_RESERVE) return undefined;
  return {
    refused: "storage_full",
    message: `The store is ${Math.floor(storeUsage * 100)} % full, and the rest is reserved for running sessions. Raise the limits of its streams, or keep ended sessions for a shorter time.`,
    retryAfterMs: STORE_RETRY_MS,
  };
}

/** Random, so that refused clients do not all come back at once. */
const spreadRetryMs = (maxPending: number): number =>
  1000 + Math.floor(Math.random() * Math.min(2000, maxPending * 4));

/** A session is admitted if it finds an agent or a place in the wait queue. */
function refuseFullQueue(facts: StartFacts, agent: AgentRequest, capacity: Capacity): Refusal | undefined {
  // Sessions of external providers and sessions of hosts do not compete for agents.
  const competes = (other: AgentRequest) => isExternal(other.provider) === isExternal(agent.provider);
  const waiting =
    facts.sessions.waiting().filter(({ record }) => competes(record)).length +
    [...facts.accepted.values()].filter(({ requested }) => competes(requested)).length;
  if (waiting < facts.config.GREENROOM_MAX_QUEUE_LENGTH + capacity.idle + capacity.cold) return undefined;
  const estimateMs = estimateStartMs(facts, agent, waitingWith(facts.sessions, agent).length + 1);
  return {
    refused: "at_capacity",
    message: `Every agent of "${agent.profile}" is busy, and ${waiting} sessions are waiting. Retry later.`,
    retryAfterMs: Math.min(60_000, Math.max(1000, estimateMs)),
  };
}
