// Handles the handoffs of other systems: each becomes a session, or is refused with a reason.
import type { Ack, Bus, Delivery, Stop } from "../../libs/bus/bus.ts";
import type { ServiceDeps } from "../../libs/bus/service-deps.ts";
import { sessions as sessionsBucket } from "../../libs/contracts/buckets.ts";
import { type HandoffEvent, HandoffRequested } from "../../libs/contracts/claims/claim.ts";
import { type SessionRef, sessionKey } from "../../libs/contracts/ids.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import { deadLetters, handoffEvents, handoffRequests, sessionEvents } from "../../libs/contracts/streams.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import { isoNow } from "../../libs/runtime/clock.ts";
import { decideHandoff, sessionIdOf } from "./decide-handoff.ts";
import { refusedHandoff } from "./handoff-events.ts";

export interface HandoffDeps extends ServiceDeps {
  readonly sessions: Pick<SessionView, "all">;
  /** The provider of a profile; undefined when there is none. */
  readonly providerOf: (agentId: string) => ProviderName | undefined;
  /** The most handoffs that this process handles at a time. */
  readonly batchSize: number;
}

/** Runs until stopped. The instances share the handoffs. */
export async function consumeHandoffs(deps: HandoffDeps): Promise<Stop> {
  const stops = await Promise.all([consumeRequests(deps), answerDeadLetters(deps)]);
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

const consumeRequests = (deps: HandoffDeps): Promise<Stop> =>
  deps.bus.streams.consume(
    handoffRequests,
    { durable: "handoffs", description: "Handoffs service: answers requests.", concurrency: deps.batchSize },
    (message, delivery) => handleHandoff(deps, message, delivery),
  );

async function handleHandoff(
  { bus, clock, log, sessions, providerOf }: HandoffDeps,
  message: unknown,
  { sequence }: Pick<Delivery, "sequence">,
): Promise<Ack> {
  const at = isoNow(clock);
  const sessionIn = (tenant: string, room: string) =>
    sessions
      .all()
      .find(({ record }) => record.room === room && record.tenant === tenant && record.state !== "ended")
      ?.record.sessionId;
  const decision = decideHandoff(message, { providerOf, sessionIn, at });
  switch (decision.do) {
    case "report_invalid":
      log.warn({ sequence, reason: decision.message }, "received an invalid handoff");
      await bus.streams.publish(handoffEvents, {
        version: 1,
        type: "handoff_invalid_payload",
        at,
        sequence,
        message: decision.message,
        ...(decision.traceId === undefined ? {} : { trace_id: decision.traceId }),
        ...(decision.tenant === undefined ? {} : { tenant_id: decision.tenant }),
      });
      return "ack";
    case "refuse": {
      const { handoff, sessionId, reason, message: text } = decision;
      // On redelivery its own session may have ended, or the next one may have its room.
      if (await isThere(bus, { tenant: handoff.tenant_id, sessionId })) return "ack";
      log.warn({ trace: handoff.trace_id, tenant: handoff.tenant_id, reason: text }, "refused a handoff");
      await bus.streams.publish(
        handoffEvents,
        refusedHandoff(handoff, sessionId, { reason, message: text }, at),
      );
      return "ack";
    }
    case "request": {
      const { requested } = decision;
      if (await isThere(bus, requested)) return "ack";
      const { duplicate } = await bus.streams.publish(sessionEvents, requested);
      const { sessionId, tenant, profile, provider = "pool" } = requested;
      if (!duplicate) log.info({ sessionId, tenant, profile, provider }, "a handoff became a session");
      return "ack";
    }
  }
}

const isThere = async (bus: Bus, session: SessionRef): Promise<boolean> =>
  (await bus.kv.get(sessionsBucket, sessionKey(session))) !== undefined;

/** Answers dead letters too, for example messages that are not JSON, so that every handoff gets an answer. */
const answerDeadLetters = ({ bus, clock }: HandoffDeps): Promise<Stop> =>
  bus.streams.consume(
    { ...deadLetters, subjects: `dead.${handoffRequests.subjects}` },
    { durable: "dead-handoffs", description: "Handoffs service: answers dead letters.", concurrency: 4 },
    async ({ payload, reason, sequence }) => {
      const at = isoNow(clock);
      const handoff = HandoffRequested.safeParse(parsed(payload)).data;
      const answer: HandoffEvent =
        handoff === undefined
          ? { version: 1, type: "handoff_invalid_payload", at, sequence, message: reason }
          : refusedHandoff(handoff, sessionIdOf(handoff), { reason: "not_handled", message: reason }, at);
      await bus.streams.publish(handoffEvents, answer);
      return "ack";
    },
  );

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
