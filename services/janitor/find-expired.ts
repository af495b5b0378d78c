// Finds the sessions that have exceeded a deadline. Pure.
import type { SlotStatus } from "../../libs/contracts/fleet/host.ts";
import { attemptRefOf } from "../../libs/contracts/ids.ts";
import { isExternal } from "../../libs/contracts/providers/provider.ts";
import type { SessionEvent, SessionRecord } from "../../libs/contracts/sessions/session.ts";

export interface AgedSession {
  readonly record: SessionRecord;
  /** How long this janitor has seen the session in its phase, in ms on its own monotonic clock. */
  readonly ageMs: number;
}

export type Expired = Extract<SessionEvent, { type: "deadline_exceeded" }>;

/**
 * The span of time that a deadline measures. A waiting session stays in its phase while hosts decline it. Otherwise each
 * try would restart its wait.
 */
export const phaseOf = (record: SessionRecord): string =>
  record.state === "requested"
    ? `requested.${record.failures}.${record.recovering}`
    : `${record.state}.${record.attempt}`;

/**
 * The exceeded deadlines, each with a reason for the history.
 *
 * @param slotOf the status of a session's slot, if its host has reported one
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
      // Measured for one attempt: a failover restarts this clock.
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

/** Why the last try failed, if there was one. */
const lastReason = (record: SessionRecord): string => {
  const reason = record.history.at(-1)?.reason;
  return reason === undefined ? "" : `; before: ${reason}`;
};

const secondsOf = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
