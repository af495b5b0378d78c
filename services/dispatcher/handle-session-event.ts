// What the dispatcher does with one message about a session: read, decide, save, speak.
import type { Ack, Delivery } from "../../libs/bus/bus.ts";
import { MAX_DELIVERIES } from "../../libs/bus/delivery-rules.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";
import { newSession, reduceSession, type SessionDefaults } from "../../libs/domain/session/reduce.ts";
import type { DispatcherInput } from "../../libs/domain/session/transitions.ts";
import { isoNow } from "../../libs/runtime/clock.ts";
import { type ExecuteDeps, executeCommands } from "./execute-commands.ts";
import type { HostReservations, Reservation } from "./host-reservations.ts";
import type { RecordCache, Versioned } from "./record-cache.ts";

export interface DispatchDeps extends ExecuteDeps {
  readonly reservations: HostReservations;
  readonly defaults: SessionDefaults;
  /** Unique to each write of each dispatcher. */
  readonly nextWriteId: () => string;
  /** What this dispatcher wrote last, to begin from without reading; often right, never trusted. */
  readonly recordCache: RecordCache;
  /** True when other sessions of this profile have waited longer, so that a newcomer must not overtake. */
  readonly hasOlderWaiting: (record: SessionRecord) => boolean;
}

/** More turns than hosts that may decline and attempts that may fail; past it the message comes again. */
const MAX_TURNS = 100;
/** Lost races after which the message is left to come again. */
const MAX_RACES = 10;

/**
 * Handles one message. Ack it (`done`) only after the commands that the record calls for were answered, so
 * that a dispatcher that dies in between leaves them to the next.
 */
export async function handleSessionEvent(
  deps: DispatchDeps,
  event: SessionEvent,
  delivery: Delivery,
): Promise<Ack> {
  for (let race = 0; race < MAX_RACES; race++) {
    const verdict = await handleOnce(deps, event, delivery, race === 0);
    if (verdict !== "lost the race") return verdict;
  }
  return "nak";
}

/**
 * @param isFirstTry whether to begin with what this dispatcher last wrote, or with nothing for a new session,
 *   without reading. A change that is made of a wrong guess fails at the compare-and-set; but that an event
 *   changes nothing is only believed of what was read.
 */
async function handleOnce(
  deps: DispatchDeps,
  event: SessionEvent,
  delivery: Delivery,
  isFirstTry: boolean,
): Promise<Ack | "lost the race"> {
  const mayGuess = isFirstTry && delivery.deliveries === 1;
  const key = sessionKey(event);
  const guess = mayGuess ? deps.recordCache.get(key) : undefined;
  const isCertain = guess === undefined && !(mayGuess && event.type === "requested");
  const before = isCertain ? await read(deps, key) : guess;
  const after = applied(deps, before, event, delivery);
  if (!isCertain && (after === undefined || after === before?.record)) return "lost the race";
  // It overtook its own `requested`, or nobody ever made that: then an end has nothing to end.
  if (after === undefined) return isInVain(event, delivery) ? "ack" : "nak";

  let standing = { record: after, revision: before?.revision ?? 0 };
  let changed = after !== before?.record;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const promised = canAssign(deps, standing.record, event, turn)
      ? deps.reservations.choose(standing.record)
      : undefined;
    try {
      const next = withHost(deps, standing.record, promised);
      if (changed || next !== standing.record) {
        const saved = await save(deps, { record: next, revision: standing.revision });
        if (saved === undefined) return "lost the race";
        standing = saved;
      }
      const input = await executeCommands(deps, standing.record);
      if (input === undefined) return "ack"; // A session that waits for an agent waits in its record.
      const stepped = reduceSession(standing.record, input);
      if (stepped === standing.record) return "ack";
      deps.log.info(
        { sessionId: stepped.sessionId, attempt: input.attempt, ...reason(input) },
        "an attempt came to nothing",
      );
      standing = { ...standing, record: stepped };
      changed = true;
    } finally {
      promised?.settle();
    }
  }
  return "nak";
}

async function read(deps: DispatchDeps, key: string): Promise<Versioned | undefined> {
  const entry = await deps.bus.kv.get(sessions, key);
  return entry === undefined ? undefined : { record: entry.value, revision: entry.revision };
}

/** Whoever asks for an end may not know whether what was to begin had been stored: waiting for it is enough. */
const isInVain = ({ type }: SessionEvent, { deliveries }: Delivery): boolean =>
  type === "end_requested" && deliveries >= MAX_DELIVERIES;

function applied(
  deps: DispatchDeps,
  before: Versioned | undefined,
  event: SessionEvent,
  { sequence }: Delivery,
): SessionRecord | undefined {
  if (event.type === "requested") return before?.record ?? newSession(event, deps.defaults, sequence);
  return before === undefined ? undefined : reduceSession(before.record, event);
}

/**
 * Whether to look for a host now. After a failure the pause is kept by the waiting room, whose `woken` says
 * that it is over; a newcomer doesn't overtake those who wait.
 */
function canAssign(deps: DispatchDeps, record: SessionRecord, event: SessionEvent, turn: number): boolean {
  if (record.state !== "requested") return false;
  if (event.type === "retry_requested" && turn === 0) return event.attempt === record.attempt;
  if (record.backoffMs > 0) return false;
  return event.type !== "requested" || turn > 0 || !deps.hasOlderWaiting(record);
}

const withHost = (
  deps: DispatchDeps,
  record: SessionRecord,
  promised: Reservation | undefined,
): SessionRecord =>
  promised === undefined
    ? record
    : reduceSession(record, {
        type: "host_chosen",
        attempt: record.attempt,
        at: isoNow(deps.clock),
        ...promised.choice,
      });

async function save(deps: DispatchDeps, standing: Versioned): Promise<Versioned | undefined> {
  const record = inReadingOrder({ ...standing.record, writeId: deps.nextWriteId() });
  const key = sessionKey(record);
  const revision = await deps.bus.kv.update(sessions, record, standing.revision);
  if (revision === undefined) {
    deps.recordCache.forget(key);
    return undefined;
  }
  const saved = { record, revision };
  deps.recordCache.set(key, saved);
  return saved;
}

/**
 * The attempt first and the state last: `nats kv history` shows the beginning and the end of each value, and so
 * tells the life of a session at a glance.
 */
export function inReadingOrder(record: SessionRecord): SessionRecord {
  const { attempt, state, ...rest } = record;
  return { attempt, ...rest, state };
}

const reason = (input: DispatcherInput) => ("reason" in input ? { reason: input.reason } : {});
