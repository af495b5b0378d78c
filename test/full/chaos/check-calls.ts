// Invariant 12 for calls: each ended session has the call record that its data gives, and key figures sum them up.

import type { CallRecord } from "../../../libs/contracts/calls/call.ts";
import { sessionKey } from "../../../libs/contracts/ids.ts";
import { calls as callsChannel } from "../../../libs/contracts/streams.ts";
import { buildCall, hasEnded, readyAttempts } from "../../../libs/domain/call/build-call.ts";
import type { Remains, Violation } from "./evidence.ts";
import { groupBy, type Read } from "./read-evidence.ts";

/** The sources of call records, and the stored call records. */
export type Recorded = Pick<Remains, "records" | "reports" | "launches" | "calls">;

export function checkCalls({ evidence: { remains }, lives }: Read): Violation[] {
  // A session's record may be deleted long before its call record.
  const over = new Set(
    lives.flatMap(({ key, revisions }) => (revisions.at(-1)?.record.state === "ended" ? [key] : [])),
  );
  const figures = remains.falseKpis.map((key) => ({
    invariant: 12,
    what: `the key figures ${key} differ from the call records`,
  }));
  return [...wrongCalls(remains, over), ...figures];
}

/** @param over keys of the sessions that ended */
export function wrongCalls(remains: Recorded, over: ReadonlySet<string>): Violation[] {
  const stored = groupBy(remains.calls, ({ tenant, sessionId }) => sessionKey({ tenant, sessionId }));
  const found: Violation[] = [];
  const add = (what: string, sessionId: string) => found.push({ invariant: 12, what, sessionId });
  for (const wanted of callsOf(remains)) {
    const key = sessionKey(wanted);
    const [call, ...others] = stored.get(key) ?? [];
    stored.delete(key);
    if (call === undefined) add(`the ended session ${key} has no call record`, wanted.sessionId);
    else if (others.length > 0) add(`${key} has ${others.length + 1} call records`, wanted.sessionId);
    else if (textOf(call) !== textOf(wanted))
      add(`the call record of ${key} differs: ${differences(call, wanted)}`, wanted.sessionId);
  }
  for (const [key, [call]] of stored)
    if (!over.has(key)) add(`${key} has a call record and did not end`, call?.sessionId ?? key);
  return found;
}

function callsOf({ records, reports, launches }: Recorded): CallRecord[] {
  const reported = groupBy(reports, ({ tenant, sessionId }) => sessionKey({ tenant, sessionId }));
  const launched = groupBy(launches, ({ tenant, sessionId }) => sessionKey({ tenant, sessionId }));
  return records.filter(hasEnded).map((record) => {
    const key = sessionKey(record);
    const served = readyAttempts(record);
    return buildCall(
      record,
      (reported.get(key) ?? []).filter(({ attempt }) => served.includes(attempt)),
      record.call === undefined ? [] : (launched.get(key) ?? []),
    );
  });
}

const textOf = (call: CallRecord): string => JSON.stringify(callsChannel.schema.parse(call));

function differences(is: CallRecord, should: CallRecord): string {
  const fields = Object.keys({ ...is, ...should }) as (keyof CallRecord)[];
  return fields
    .filter((field) => JSON.stringify(is[field]) !== JSON.stringify(should[field]))
    .map(
      (field) =>
        `${field} ${JSON.stringify(is[field])}, but its sources give ${JSON.stringify(should[field])}`,
    )
    .join("; ");
}
