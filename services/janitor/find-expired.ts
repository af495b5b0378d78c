// Which sessions have been as they are for too long: a pure decision.
import type { SlotStatus } from "../../libs/contracts/fleet/host.ts";
import { attemptRefOf } from "../../libs/contracts/ids.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";

export interface AgedSession {
  readonly record: SessionRecord;
  /** For how long this janitor has seen it in this phase, on its own monotonic clock, in ms. */
  readonly ageMs: number;
}

export type Expired = Extract<SessionEvent, { type: "deadline_exceeded" }>;

/**
 * What is to be measured of a record as one span of time. A session that waits stays in its phase while hosts
 * decline it, or each new try would begin its wait anew.
 */
export const phaseOf = (record: SessionRecord): string =>
  record.state === "requested"
    ? `requested.${record.failures}.${record.recovering}`
    : `${record.state}.${record.attempt}`;

/**
 * What is overdue, in words for the history: which limit, how long it took, what was missing.
 *
 * @param slotOf what the session's host says of its slot; undefined while it says nothing.
 */
export function findExpired(
  sessions: readonly AgedSession[],
  slotOf: (record: SessionRecord) => SlotStatus | undefined,
  at: string,
): Expired[] {
  return sessions.flatMap(({ record, ageMs }) => {
    const found = limitPassed(record, ageMs, slotOf(record));
    if (found === undefined || record.state === "ended") return [];
    return [
      {
        type: "deadline_exceeded" as const,
        ...attemptRefOf(record),
        state: record.state,
        at,
        ...found,
      },
    ];
  });
}

type Found = Pick<Expired, "kind" | "waitedMs" | "reason">;

function limitPassed(record: SessionRecord, ageMs: number, slot: SlotStatus | undefined): Found | undefined {
  const limits = record.deadlineMs;
  const passed = (
    kind: Found["kind"],
    waitedMs: number,
    limitMs: number,
    reason: string,
  ): Found | undefined =>
    waitedMs < limitMs
      ? undefined
      : { kind, waitedMs: Math.round(waitedMs), reason: `${reason} (limit ${limitMs} ms)` };
  switch (record.state) {
    case "requested":
      return passed(
        "waiting",
        ageMs,
        limits.requested,
        `no agent of ${record.profile} was free for ${secondsOf(ageMs)}${lastReason(record)}`,
      );
    case "dispatched": {
      const limitMs = limits.dispatched + (record.requestedWarmth === "cold" ? limits.coldExtra : 0);
      return passed(
        "join",
        ageMs,
        limitMs,
        `${agentOf(record)} did not join room ${record.room} within ${secondsOf(ageMs)}`,
      );
    }
    case "joined":
      return passed(
        "ready",
        ageMs,
        limits.joined,
        `the agent joined but ${whatIsMissing(record)} within ${secondsOf(ageMs)}`,
      );
    case "ready": {
      // Of all attempts together only the dispatcher's history knows; a hand-over restarts this clock.
      const long = passed(
        "max_duration",
        ageMs,
        limits.maxDuration,
        `the conversation took ${secondsOf(ageMs)}`,
      );
      if (long !== undefined || slot === undefined) return long;
      const idleMs = Math.min(slot.idleForMs ?? 0, ageMs);
      if (slot.userJoined)
        return passed("idle", idleMs, limits.idle, `nobody spoke for ${secondsOf(idleMs)}`);
      return passed(
        "user_absent",
        ageMs,
        limits.userAbsent,
        `the user did not come within ${secondsOf(ageMs)}`,
      );
    }
    case "ended":
      return undefined;
  }
}

const agentOf = ({ host, provider }: SessionRecord): string =>
  isExternal(provider) ? `the agent of the provider ${provider}` : `the agent on host ${host}`;

const whatIsMissing = ({ provider }: SessionRecord): string =>
  isExternal(provider) ? "didn't become ready" : "its entry started no AgentSession and called no ready()";

/** Why the last try came to nothing, if there was one. */
const lastReason = (record: SessionRecord): string => {
  const reason = record.history.at(-1)?.reason;
  return reason === undefined ? "" : `; before: ${reason}`;
};

const secondsOf = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
