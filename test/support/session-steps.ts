// Records that went on as sessions do, by the machine itself.
import type { EndedSession } from "../../libs/calls/call-of.ts";
import type { SessionRecord } from "../../libs/contracts/session.ts";
import { step } from "../../libs/session/step.ts";
import { AT } from "./examples.ts";

/** The next attempt gets ready. */
export function getReady(record: SessionRecord): SessionRecord {
  const { attempt, tenant, id } = record;
  const chosen = step(record, { type: "host_chosen", attempt, host: "h", epoch: 1, asked: "warm", at: AT });
  const said = { tenant, sessionId: id, attempt, host: "h", epoch: 1, room: record.room, at: AT };
  return step(chosen, { type: "ready", ...said, identity: `agent-${attempt}`, warm: "warm", tookMs: 5 });
}

export const endByApi = (record: SessionRecord): EndedSession =>
  step(record, {
    type: "end_requested",
    tenant: record.tenant,
    sessionId: record.id,
    at: AT,
    reason: "completed",
    why: "ended by the API",
  }) as EndedSession;
