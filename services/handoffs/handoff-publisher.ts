// Publishes on `runtime.<event>` what becomes of handoffs and claims, from the stored records.
import type { Ack, Bus, Stop } from "../../libs/bus/bus.ts";
import { claims, sessions } from "../../libs/contracts/buckets.ts";
import {
  type ClaimRecord,
  claimIdOf,
  claimKey,
  type HandoffEvent,
} from "../../libs/contracts/claims/claim.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { handoffEvents } from "../../libs/contracts/streams.ts";
import { type Clock, isoNow } from "../../libs/runtime/clock.ts";
import { eventsOfClaim, eventsOfSession, isPublished, reportedAttemptOf } from "./handoff-events.ts";

interface Deps {
  readonly bus: Bus;
  readonly clock: Clock;
}

const CONCURRENCY = 64;

/** Publishes every stored revision once, including those that were saved while the service was down. */
export async function publishHandoffEvents(deps: Deps): Promise<{ stop: Stop }> {
  const { bus } = deps;
  const stops = await Promise.all([
    bus.kv.consume(sessions, { durable: "handoffs-sessions", concurrency: CONCURRENCY }, ({ value }) =>
      value === undefined || !isPublished(value) ? done() : publishSession(deps, value),
    ),
    bus.kv.consume(claims, { durable: "handoffs-claims", concurrency: CONCURRENCY }, ({ value }) =>
      value === undefined ? done() : publishClaim(deps, value),
    ),
  ]);
  return {
    async stop() {
      await Promise.all(stops.map((stop) => stop()));
    },
  };
}

const done = async (): Promise<Ack> => "ack";

async function publishSession(deps: Deps, record: SessionRecord): Promise<Ack> {
  const claim =
    record.provider === "webhook"
      ? await deps.bus.kv.get(
          claims,
          claimKey(record.tenant, claimIdOf({ ...record, attempt: reportedAttemptOf(record) })),
        )
      : undefined;
  return publishAll(deps, eventsOfSession(record, claim?.value, isoNow(deps.clock)));
}

const publishClaim = (deps: Deps, claim: ClaimRecord): Promise<Ack> =>
  publishAll(deps, eventsOfClaim(claim, isoNow(deps.clock)));

/** In order. After a failure the revision is redelivered. */
async function publishAll({ bus }: Deps, events: readonly HandoffEvent[]): Promise<Ack> {
  for (const event of events) await bus.streams.publish(handoffEvents, event);
  return "ack";
}
