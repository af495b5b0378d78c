// Tells other systems on `runtime.<event>` what becomes of handoffs and dispatches, off what was saved.
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

/** Every stored revision is published once, also those that were saved while the service was down. */
export async function publishHandoffEvents(deps: Deps): Promise<{ stop: Stop }> {
  const { bus } = deps;
  const stops = await Promise.all([
    bus.kv.consume(sessions, { durable: "handoffs-sessions", concurrency: CONCURRENCY }, ({ value }) =>
      value === undefined || !isPublished(value) ? done() : tellOfSession(deps, value),
    ),
    bus.kv.consume(claims, { durable: "handoffs-claims", concurrency: CONCURRENCY }, ({ value }) =>
      value === undefined ? done() : tellOfDispatch(deps, value),
    ),
  ]);
  return {
    async stop() {
      await Promise.all(stops.map((stop) => stop()));
    },
  };
}

const done = async (): Promise<Ack> => "ack";

async function tellOfSession(deps: Deps, record: SessionRecord): Promise<Ack> {
  const dispatch =
    record.provider === "webhook"
      ? await deps.bus.kv.get(
          claims,
          claimKey(record.tenant, claimIdOf({ ...record, attempt: reportedAttemptOf(record) })),
        )
      : undefined;
  return tell(deps, eventsOfSession(record, dispatch?.value, isoNow(deps.clock)));
}

const tellOfDispatch = (deps: Deps, dispatch: ClaimRecord): Promise<Ack> =>
  tell(deps, eventsOfClaim(dispatch, isoNow(deps.clock)));

/** In their order; what could not be stored is thrown, and the whole is handed over again. */
async function tell({ bus }: Deps, events: readonly HandoffEvent[]): Promise<Ack> {
  for (const event of events) await bus.streams.publish(handoffEvents, event);
  return "ack";
}
