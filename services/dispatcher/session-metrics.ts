// Counts sessions. One dispatcher saves each change of a record, so together they count each change once.
import type { BusHooks } from "../../libs/bus/instrumented-bus.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";

/** The number of sessions whose ready attempt is remembered. The oldest go first. */
const MAX_REMEMBERED = 10_000;

/** Hooks that observe every saved record. */
export function countSessions(metrics: Metrics): BusHooks {
  const started = metrics.counter("greenroom_sessions_started_total", "Sessions that were accepted.", [
    "profile",
    "provider",
  ]);
  const readied = metrics.counter(
    "greenroom_sessions_ready_total",
    "Attempts whose agent became ready, by its warmth. Kind is start for the first of a session, resume for later ones.",
    ["profile", "warmth", "kind"],
  );
  const ended = metrics.counter("greenroom_sessions_ended_total", "Sessions that ended, and why.", [
    "profile",
    "reason",
    "fault",
  ]);
  const failed = metrics.counter(
    "greenroom_attempts_failed_total",
    "Attempts that cost a session one of its tries, counted when it ends.",
    ["profile"],
  );
  const counted = new Map<string, number>();

  return {
    updated(bucket, value, revision) {
      if (bucket.name !== sessions.name) return;
      const record = value as SessionRecord;
      const { profile, state, attempt } = record;
      const key = `${record.tenant}.${record.sessionId}`;
      if (revision === 0) started({ profile, provider: record.provider ?? "pool" });
      // A ready record may be saved again with another change.
      if (state === "ready" && counted.get(key) !== attempt) {
        counted.delete(key);
        counted.set(key, attempt);
        if (counted.size > MAX_REMEMBERED) counted.delete(counted.keys().next().value ?? "");
        readied({
          profile,
          warmth: record.warm ?? "unknown",
          kind: hasServedBefore(record) ? "resume" : "start",
        });
      }
      if (state !== "ended") return;
      counted.delete(key);
      ended({ profile, reason: record.endedReason ?? "unknown", fault: record.fault ?? "unknown" });
      if (record.failures > 0) failed({ profile }, record.failures);
    },
  };
}

/** Whether an earlier attempt was ready, so that this one resumes the session. */
const hasServedBefore = ({ history, attempt }: SessionRecord): boolean =>
  history.some((entry) => entry.state === "ready" && entry.attempt < attempt);
