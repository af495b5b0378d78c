// The verdict on a session in one line: its state or end, and each attempt that did not last. Pure.
import type { SessionRecord } from "../../libs/contracts/sessions/session.ts";
import type { StateDuration } from "./describe-record.ts";
import { durationOf, type TimelineEntry } from "./timeline.ts";

/** Further mishaps are counted. */
const MISHAPS = 3;

/** @param steps the states of the record, oldest first */
export function verdictOf(
  record: SessionRecord | undefined,
  steps: readonly StateDuration[],
  timeline: readonly TimelineEntry[],
): string {
  const [first, last] = [timeline[0], steps.at(-1)];
  if (record === undefined || first === undefined || last === undefined) return "record deleted";
  const sinceStart = (atMs: number) => atMs - Date.parse(first.at);
  const began = steps.find(({ state }) => state === "ready");
  const readyText = began === undefined ? "never ready" : `ready after ${durationOf(sinceStart(began.atMs))}`;
  const lasted = durationOf(sinceStart(last.atMs));
  const head =
    record.state === "ended"
      ? `ended ${record.endedReason} after ${lasted}, ${readyText}${faultText(record)}`
      : `${record.state} since +${lasted}, attempt ${record.attempt}${began === undefined ? "" : `, ${readyText}`}`;
  const mishaps = mishapsOf(steps, timeline, sinceStart);
  const more = mishaps.length > MISHAPS ? [`${mishaps.length - MISHAPS} more`] : [];
  return [head, ...mishaps.slice(0, MISHAPS), ...more].join("; ");
}

const faultText = ({ fault }: SessionRecord): string =>
  fault === undefined || fault === "none" ? "" : ` (fault: ${fault})`;

/** One phrase for each attempt that another one followed. */
function mishapsOf(
  steps: readonly StateDuration[],
  timeline: readonly TimelineEntry[],
  sinceStart: (atMs: number) => number,
): string[] {
  return steps.flatMap(({ attempt, atMs }, index) => {
    const before = steps[index - 1];
    if (before === undefined || before.attempt === attempt) return [];
    const event = endOf(timeline, before.attempt);
    const lostAtMs = event === undefined ? atMs : Date.parse(event.at);
    const what = PHRASES[event?.type ?? ""] ?? `attempt ${before.attempt} failed`;
    const at = `${what} at +${durationOf(sinceStart(lostAtMs))}`;
    const replaced = steps.slice(index).find(({ state, attempt: by }) => state === "ready" || by !== attempt);
    if (replaced?.state !== "ready") return [at];
    return [`${at}, replaced in ${durationOf(replaced.atMs - lostAtMs)}`];
  });
}

const PHRASES: Readonly<Record<string, string>> = {
  agent_lost: "agent lost",
  agent_ended: "agent failed",
  migrated: "agent migrated",
  provider_declined: "provider had no agent",
  deadline_exceeded: "deadline exceeded",
};

/** The event that ended an attempt. A host that declines publishes none. */
function endOf(
  timeline: readonly TimelineEntry[],
  attempt: number,
): { at: string; type: string } | undefined {
  for (const { at, stream, data } of timeline) {
    const { attempt: of, type } = (data ?? {}) as { attempt?: unknown; type?: string };
    if (stream.startsWith("SESSIONS") && of === attempt && type !== undefined && type in PHRASES)
      return { at, type };
  }
  return undefined;
}
