// One move in the life of a session each: what its host, its user, the janitor or the dispatcher says.
import type { SessionRecord } from "../../libs/contracts/session.ts";
import type { SessionInput } from "../../libs/session/machine.ts";
import { newSession, step } from "../../libs/session/step.ts";
import { AT, anEvent, defaults } from "./examples.ts";

export const address = { tenant: "t", sessionId: "s", at: AT };

type ByHost = Extract<SessionInput, { epoch: number; host: string; tenant: string }>;
type WithoutSpeaker<T> = T extends unknown
  ? Omit<T, "tenant" | "sessionId" | "at" | "attempt" | "host" | "epoch">
  : never;

/** What the record's own host says of the present attempt. */
export const fromHost = (record: SessionRecord, said: WithoutSpeaker<ByHost>): SessionInput =>
  ({
    ...address,
    attempt: record.attempt,
    host: record.host ?? "",
    epoch: record.hostEpoch ?? 0,
    ...said,
  }) as SessionInput;

export const overdue = (
  record: SessionRecord,
  kind: "waiting" | "join" | "ready" | "max_duration" | "idle" | "user_absent",
) =>
  step(record, {
    ...address,
    type: "overdue",
    attempt: record.attempt,
    state: record.state as "ready",
    kind,
    waitedMs: 10_000,
    why: `${kind} took longer than it may`,
  });

export const inRoom = (record: SessionRecord) => ({
  room: record.room,
  identity: `agent-${record.id}-${record.attempt}`,
  warm: "warm" as const,
  tookMs: 80,
});

export const chosen = (record: SessionRecord, host = "h1", asked: "hot" | "warm" | "cold" = "warm") =>
  step(record, { type: "host_chosen", attempt: record.attempt, host, epoch: 7, asked, at: AT });
export const joined = (record: SessionRecord) =>
  step(record, fromHost(record, { type: "joined", ...inRoom(record) }));
export const ready = (record: SessionRecord) =>
  step(record, fromHost(record, { type: "ready", ...inRoom(record) }));
export const lost = (record: SessionRecord) =>
  step(record, { ...address, type: "agent_lost", attempt: record.attempt, why: "its host is gone" });
export const endAsked = (record: SessionRecord) =>
  step(record, { ...address, type: "end_requested", reason: "completed", why: "the user hung up" });
export const failed = (record: SessionRecord, worthRepeating = true) =>
  step(
    record,
    fromHost(record, { type: "agent_ended", why: "entry threw", error: "no such voice", worthRepeating }),
  );
export const declined = (record: SessionRecord) =>
  step(record, { type: "declined", attempt: record.attempt, host: record.host ?? "", why: "full", at: AT });
export const unanswered = (record: SessionRecord, worthRepeating = true) =>
  step(record, {
    type: "assign_failed",
    attempt: record.attempt,
    host: record.host ?? "",
    why: "no answer within 2000 ms",
    worthRepeating,
    at: AT,
  });

export const requested = () => newSession(anEvent("s"), defaults);
export const dispatched = () => chosen(requested());
