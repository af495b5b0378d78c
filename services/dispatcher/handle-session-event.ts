// Handles one event of a session: reduces its record, chooses a host, and executes the record's commands.
import type { Ack, Delivery } from "../../libs/bus/bus.ts";
import { MAX_DELIVERIES } from "../../libs/bus/delivery-rules.ts";
import { type EventRules, handleEvent, type Plan } from "../../libs/bus/event-loop.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { newSession, reduceSession, type SessionDefaults } from "../../libs/domain/session/reduce.ts";
import { isoNow } from "../../libs/runtime/clock.ts";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import { type ExecuteDeps, executeCommands } from "./execute-commands.ts";
import type { HostReservations } from "./host-reservations.ts";
import type { RecordCache } from "./record-cache.ts";
import { StartOutcome } from "./start-outcome.ts";

export interface DispatchDeps extends ExecuteDeps {
  readonly reservations: HostReservations;
  readonly circuitBreaker: Pick<CircuitBreaker, "succeeded" | "failed" | "isAtFault">;
  readonly defaults: SessionDefaults;
  /** Unique to each write of each dispatcher. */
  readonly nextWriteId: () => string;
  readonly recordCache: RecordCache;
  /** True when other sessions of the profile have waited longer, so that a new one must not overtake them. */
  readonly hasOlderWaiting: (record: SessionRecord) => boolean;
}

/** Handles one event. A session that waits for an agent waits in its record: its event is acked. */
export const handleSessionEvent = (
  deps: DispatchDeps,
  event: SessionEvent,
  delivery: Delivery,
): Promise<Ack> => handleEvent(rulesOf(deps), sessionKey(event), event, delivery);

const rulesOf = (deps: DispatchDeps): EventRules<SessionRecord, SessionEvent> => {
  const start = new StartOutcome(deps.circuitBreaker);
  return { ...rulesWith(deps, start), onSaved: () => start.count() };
};

const rulesWith = (deps: DispatchDeps, start: StartOutcome): EventRules<SessionRecord, SessionEvent> => ({
  bus: deps.bus,
  bucket: sessions,
  cache: deps.recordCache,
  reduce(record, event, { sequence }) {
    if (event.type === "requested")
      return record ?? newSession(event, deps.defaults, sequence, isoNow(deps.clock));
    return record === undefined ? undefined : start.reduce(record, event);
  },
  isCreation: ({ type }) => type === "requested",
  // A client may end a session whose request was never stored. Such an event is acked after its last redelivery.
  withoutRecord: ({ type }, { deliveries }) =>
    type === "end_requested" && deliveries >= MAX_DELIVERIES ? "ack" : "nak",
  plan: (record, event, turn) => (canAssign(deps, record, event, turn) ? assign(deps, record) : undefined),
  stamp: (record) => inReadingOrder({ ...record, writeId: deps.nextWriteId() }),
  async act(record) {
    const input = await executeCommands(deps, record);
    if (input === undefined) return record;
    const next = reduceSession(record, input);
    if (next !== record) {
      const reason = "reason" in input ? { reason: input.reason } : {};
      deps.log.info({ sessionId: record.sessionId, attempt: input.attempt, ...reason }, "attempt failed");
    }
    return next;
  },
});

/**
 * Whether to choose a host now. After a failure the wait queue keeps the pause, and ends it with `retry_requested`. A new
 * session does not overtake the waiting ones.
 */
function canAssign(deps: DispatchDeps, record: SessionRecord, event: SessionEvent, turn: number): boolean {
  if (record.state !== "requested") return false;
  if (event.type === "retry_requested" && turn === 0) return event.attempt === record.attempt;
  if (record.backoffMs > 0) return false;
  return event.type !== "requested" || turn > 0 || !deps.hasOlderWaiting(record);
}

/** The record with a host, which is reserved until the host has answered. */
function assign(
  { clock, reservations }: DispatchDeps,
  record: SessionRecord,
): Plan<SessionRecord> | undefined {
  const reservation = reservations.choose(record);
  if (reservation === undefined) return undefined;
  const input = { type: "host_chosen" as const, attempt: record.attempt, at: isoNow(clock) };
  return {
    record: reduceSession(record, { ...input, ...reservation.choice }),
    release: () => reservation.release(),
  };
}

/** The attempt first and the state last, since `nats kv history` shows the beginning and the end of each value. */
export function inReadingOrder(record: SessionRecord): SessionRecord {
  const { attempt, state, ...rest } = record;
  return { attempt, ...rest, state };
}
