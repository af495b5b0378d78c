// What the dispatcher does with one message about a session: read, decide, save, speak.
import type { Delivery, Verdict } from "../../libs/bus/bus.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import { sessionKey } from "../../libs/contracts/ids.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/session.ts";
import { isoNow } from "../../libs/process/clock.ts";
import type { DispatcherInput } from "../../libs/session/machine.ts";
import { newSession, type SessionDefaults, step } from "../../libs/session/step.ts";
import type { Fleet, Promised } from "./fleet.ts";
import { type SpeakDeps, speak } from "./speak.ts";

export interface DispatchDeps extends SpeakDeps {
  readonly fleet: Fleet;
  readonly defaults: SessionDefaults;
  /** Unique to each write of each dispatcher. */
  readonly nextOpId: () => string;
  /** True when other sessions of this profile have waited longer, so that a newcomer must not overtake. */
  readonly hasOlderWaiting: (record: SessionRecord) => boolean;
}

interface Standing {
  readonly record: SessionRecord;
  /** 0 while it isn't stored. */
  readonly revision: number;
}

/** More turns than hosts that may decline and attempts that may fail; past it the message comes again. */
const MAX_TURNS = 100;

/**
 * Handles one message. Ack it (`done`) only after the commands that the record calls for were answered, so
 * that a dispatcher that dies in between leaves them to the next.
 */
export async function onSessionEvent(
  deps: DispatchDeps,
  event: SessionEvent,
  _delivery: Delivery,
): Promise<Verdict> {
  const present = await deps.bus.read(sessions, sessionKey(event.tenant, event.sessionId));
  const before: Standing | undefined =
    present === undefined ? undefined : { record: present.value, revision: present.revision };
  const after = applied(deps, before, event);
  if (after === undefined) return "retry"; // It overtook its own `requested`.

  let standing = { record: after, revision: before?.revision ?? 0 };
  let changed = after !== before?.record;
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const promised = maySeek(deps, standing.record, event, turn)
      ? deps.fleet.choose(standing.record)
      : undefined;
    try {
      const next = withHost(deps, standing.record, promised);
      if (changed || next !== standing.record) {
        const saved = await save(deps, { record: next, revision: standing.revision });
        if (saved === undefined) return "retry"; // Another dispatcher was faster; read again.
        standing = saved;
      }
      const input = await speak(deps, standing.record);
      if (input === undefined) return "done"; // A session that waits for an agent waits in its record.
      const stepped = step(standing.record, input);
      if (stepped === standing.record) return "done";
      deps.log.info(
        { session: stepped.id, attempt: input.attempt, ...why(input) },
        "an attempt came to nothing",
      );
      standing = { ...standing, record: stepped };
      changed = true;
    } finally {
      promised?.settle();
    }
  }
  return "retry";
}

function applied(
  deps: DispatchDeps,
  before: Standing | undefined,
  event: SessionEvent,
): SessionRecord | undefined {
  if (event.type === "requested") return before?.record ?? newSession(event, deps.defaults);
  return before === undefined ? undefined : step(before.record, event);
}

/**
 * Whether to look for a host now. After a failure the pause is kept by the waiting room, whose `woken` says
 * that it is over; a newcomer doesn't overtake those who wait.
 */
function maySeek(deps: DispatchDeps, record: SessionRecord, event: SessionEvent, turn: number): boolean {
  if (record.state !== "requested") return false;
  if (event.type === "woken" && turn === 0) return event.attempt === record.attempt;
  if (record.backoffMs > 0) return false;
  return event.type !== "requested" || turn > 0 || !deps.hasOlderWaiting(record);
}

const withHost = (
  deps: DispatchDeps,
  record: SessionRecord,
  promised: Promised | undefined,
): SessionRecord =>
  promised === undefined
    ? record
    : step(record, {
        type: "host_chosen",
        attempt: record.attempt,
        at: isoNow(deps.clock),
        ...promised.choice,
      });

async function save(deps: DispatchDeps, standing: Standing): Promise<Standing | undefined> {
  const record = { ...standing.record, opId: deps.nextOpId() };
  const revision = await deps.bus.save(sessions, record, standing.revision);
  return revision === undefined ? undefined : { record, revision };
}

const why = (input: DispatcherInput) => ("why" in input ? { why: input.why } : {});
