// What the dispatchers count of sessions. Each change is saved by one of them, so all together count it once.
import type { BusHooks } from "../../libs/bus/instrumented-bus.ts";
import { sessions } from "../../libs/contracts/buckets.ts";
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { Metrics } from "../../libs/runtime/metrics.ts";

/** Sessions of which is remembered which attempt was counted as ready; the oldest go. */
const REMEMBERED = 10_000;

/** To be told of every record that was saved. */
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
      // Something else of a ready record may change, and be saved too.
      if (state === "ready" && counted.get(key) !== attempt) {
        counted.delete(key);
        counted.set(key, attempt);
        if (counted.size > REMEMBERED) counted.delete(counted.keys().next().value ?? "");
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

/** Whether an earlier attempt was ready: then this one took over from it. */
const hasServedBefore = ({ history, attempt }: SessionRecord): boolean =>
  history.some((entry) => entry.state === "ready" && entry.attempt < attempt);
