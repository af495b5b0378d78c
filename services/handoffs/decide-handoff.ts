// Decides what becomes of a handoff, from its message, the known agents and the rooms. Pure.
import { HANDOFF_PREFIX, HandoffRequested, TraceId } from "../../libs/contracts/claims/claim.ts";
import { isReservedRoom, Tenant } from "../../libs/contracts/ids.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import { Metadata, type Requested } from "../../libs/contracts/sessions/session.ts";
import { faultsOf } from "../../libs/contracts/validation.ts";
import { base62, fingerprint, sha256 } from "../../libs/domain/ids.ts";

export interface HandoffFacts {
  /** The provider of a profile; undefined when there is none. */
  readonly providerOf: (agentId: string) => ProviderName | undefined;
  /** The session that has a room now, if any. */
  readonly sessionIn: (tenant: string, room: string) => string | undefined;
  /** ISO time, for people. */
  readonly at: string;
}

export type HandoffDecision =
  | { readonly do: "request"; readonly requested: Requested }
  | {
      readonly do: "refuse";
      readonly handoff: HandoffRequested;
      readonly sessionId: string;
      readonly reason: "unknown_agent" | "room_taken";
      readonly message: string;
    }
  | {
      readonly do: "report_invalid";
      readonly message: string;
      readonly traceId: string | undefined;
      readonly tenant: string | undefined;
    };

const FAULTS_MAX = 3;
const MESSAGE_MAX = 480;

export function decideHandoff(message: unknown, facts: HandoffFacts): HandoffDecision {
  const parsed = HandoffRequested.safeParse(message);
  if (!parsed.success) return invalid(message, faultsOf(parsed.error, FAULTS_MAX));
  const handoff = parsed.data;
  if (isReservedRoom(handoff.room))
    return invalid(message, `room: "${handoff.room}" begins like one of Greenroom's own rooms`);
  const metadata = Metadata.safeParse(metadataOf(handoff));
  if (!metadata.success)
    return invalid(message, "metadata: more than 4,096 bytes of JSON with the trace and the call");

  const sessionId = sessionIdOf(handoff);
  const refuse = (reason: "unknown_agent" | "room_taken", words: string): HandoffDecision => ({
    do: "refuse",
    handoff,
    sessionId,
    reason,
    message: words,
  });
  const provider = facts.providerOf(handoff.agent_id);
  if (provider === undefined)
    return refuse("unknown_agent", `Neither a host nor a provider has an agent "${handoff.agent_id}".`);
  const other = facts.sessionIn(handoff.tenant_id, handoff.room);
  if (other !== undefined && other !== sessionId)
    return refuse("room_taken", `The room "${handoff.room}" has the session ${other} already.`);
  return {
    do: "request",
    requested: {
      type: "requested",
      tenant: handoff.tenant_id,
      sessionId,
      at: facts.at,
      profile: handoff.agent_id,
      user: { id: handoff.call_id ?? "caller", name: "Caller" },
      metadata: metadata.data,
      room: handoff.room,
      requestHash: fingerprint(handoff),
      ...(provider === "pool" ? {} : { provider }),
    },
  };
}

/**
 * Equal for every repetition of a handoff: one trace hands one room to one agent once. Another agent in the same trace
 * is another handoff.
 */
export const sessionIdOf = ({ tenant_id, trace_id, agent_id, room }: HandoffRequested): string =>
  HANDOFF_PREFIX + base62(sha256([tenant_id, trace_id, agent_id, room]));

/** The handoff's own metadata, and the trace and call for the agent. */
const metadataOf = ({ trace_id, call_id, metadata }: HandoffRequested) => ({
  ...metadata,
  handoff: { trace_id, ...(call_id === undefined ? {} : { call_id }) },
});

function invalid(message: unknown, words: string): HandoffDecision {
  const field = (name: string): unknown =>
    typeof message === "object" && message !== null ? (message as Record<string, unknown>)[name] : undefined;
  return {
    do: "report_invalid",
    message: words.slice(0, MESSAGE_MAX),
    traceId: TraceId.safeParse(field("trace_id")).data,
    tenant: Tenant.safeParse(field("tenant_id")).data,
  };
}
