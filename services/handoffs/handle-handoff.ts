// Takes handoffs from other systems in: each becomes a session, or is told why it doesn't.
import type { Ack, Bus, Delivery, Stop } from "../../libs/bus/bus.ts";
import { sessions as sessionsBucket } from "../../libs/contracts/buckets.ts";
import { type HandoffEvent, HandoffRequested } from "../../libs/contracts/claims/claim.ts";
import { type SessionRef, sessionKey } from "../../libs/contracts/ids.ts";
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import { deadLetters, handoffEvents, handoffRequests, sessionEvents } from "../../libs/contracts/streams.ts";
import type { SessionView } from "../../libs/fleet/session-view.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { decideHandoff, sessionIdOf } from "./decide-handoff.ts";
import { refusedHandoff } from "./handoff-events.ts";

export interface HandoffDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: Pick<SessionView, "all">;
  /** Who gives the agent of a profile; undefined when nobody does. */
  readonly providerOf: (agentId: string) => ProviderName | undefined;
  /** Handoffs in hand at once. */
  readonly batchSize: number;
}

/** All instances share the handoffs; each is in hand until it is a session, or was answered. */
export async function consumeHandoffs(deps: HandoffDeps): Promise<Stop> {
  const stops = await Promise.all([takeReadable(deps), answerDead(deps)]);
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

const takeReadable = (deps: HandoffDeps): Promise<Stop> =>
  deps.bus.streams.consume(
    handoffRequests,
    { durable: "handoffs", concurrency: deps.batchSize },
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
    case "tell_invalid":
      log.warn({ sequence, reason: decision.message }, "a handoff can't be read");
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
      const { handoff, sessionId, reason, message: words } = decision;
      // Delivered again it may find its own session's end, or its room taken by the next.
      if (await isThere(bus, { tenant: handoff.tenant_id, sessionId })) return "ack";
      log.warn({ trace: handoff.trace_id, tenant: handoff.tenant_id, reason: words }, "a handoff is refused");
      await bus.streams.publish(
        handoffEvents,
        refusedHandoff(handoff, sessionId, { reason, message: words }, at),
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

/** What went to the dead letters, as what is no JSON does, is answered all the same: never with silence. */
const answerDead = ({ bus, clock }: HandoffDeps): Promise<Stop> =>
  bus.streams.consume(
    { ...deadLetters, subjects: `dead.${handoffRequests.subjects}` },
    { durable: "dead-handoffs", concurrency: 4 },
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
