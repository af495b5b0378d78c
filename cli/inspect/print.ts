// Formats an overview: a line for each event, with the time since the previous one.

import type { StateDuration } from "./describe-record.ts";
import type { SessionOverview, TaskOverview } from "./overview.ts";
import type { PresentState } from "./present-state.ts";
import { durationOf, fieldsText, type TimelineEntry } from "./timeline.ts";

export type Paint = (color: number, text: string) => string;
export const plain: Paint = (_, text) => text;
export const colored: Paint = (color, text) => `\u001b[${color}m${text}\u001b[0m`;

const [DIM, CYAN, RED, YELLOW] = [90, 36, 31, 33];

export function sessionText(
  { subject, verdict, timeline, record, steps, gone }: SessionOverview,
  live: PresentState | undefined,
  paint: Paint,
): string {
  return [
    paint(CYAN, `Session ${subject.id} of ${subject.tenant}: ${verdict}`),
    ...(record === undefined ? [] : [`  ${aboutOf(record)}`]),
    "",
    ...timelineLines(timeline, paint),
    ...(steps.length === 0 ? [] : ["", "Time in each state, by NATS's clock:", ...steps.map(durationLine)]),
    ...timingLines(record),
    ...(live === undefined ? [] : ["", "Now:", `  ${live.room}`, `  ${live.host}`]),
    ...(gone.length === 0 ? [] : ["", ...gone.map((line) => paint(YELLOW, line))]),
  ].join("\n");
}

export function taskText({ subject, timeline, record, gone, sessions }: TaskOverview, paint: Paint): string {
  const head =
    record === undefined ? "record deleted" : `${record.state}, ${record.attempt} attempts, to ${record.to}`;
  return [
    paint(CYAN, `Task ${subject.id} of ${subject.tenant}: ${head}`),
    ...(record?.error === undefined ? [] : [paint(RED, `  ${record.error.code}: ${record.error.message}`)]),
    "",
    ...timelineLines(timeline, paint),
    ...(gone.length === 0 ? [] : ["", ...gone.map((line) => paint(YELLOW, line))]),
    ...sessions.flatMap((overview, index) => {
      const attempt = record?.attempts[index];
      const error = attempt?.error === undefined ? "" : `: ${attempt.error.code}, ${attempt.error.message}`;
      return [
        "",
        paint(CYAN, `Attempt ${attempt?.n}, ${attempt?.state}${error}`),
        sessionText(overview, undefined, paint),
      ];
    }),
  ].join("\n");
}

const aboutOf = (record: NonNullable<SessionOverview["record"]>): string =>
  [
    `profile ${record.profile}`,
    `provider ${record.provider ?? "pool"}`,
    ...(record.version === undefined ? [] : [`version ${record.version}`]),
    `room ${record.room}`,
    `user ${record.user.id}`,
    ...(record.call === undefined ? [] : [`call to ${record.call.to}`]),
    ...(record.call?.task === undefined ? [] : [`for task ${record.call.task}`]),
  ].join(", ");

/** Dates and fields are printed where they change. */
function timelineLines(timeline: readonly TimelineEntry[], paint: Paint): string[] {
  let beforeMs: number | undefined;
  let day = "";
  const shown = new Map<string, string>();
  return timeline.flatMap((entry) => {
    const { at, stream, sequence, what, details } = entry;
    const atMs = Date.parse(at);
    const [date = "", time = ""] = at.replace("Z", "").split("T");
    const dateLines = date === day ? [] : [paint(DIM, `${date}, times in UTC`)];
    day = date;
    const since = beforeMs === undefined ? "" : `+${durationOf(atMs - beforeMs)}`;
    beforeMs = atMs;
    const isBad = what.startsWith("DEAD LETTER") || /^log (error|fatal)/.test(what);
    const line = `${time} ${since.padStart(9)}  ${isBad ? paint(RED, what) : what}  ${paint(DIM, `${stream} ${sequence}`)}`;
    const fields = changedFields(entry, shown);
    const lines = [...(fields === "" ? [] : [fields]), ...details];
    return [...dateLines, line, ...lines.map((detail) => `${" ".repeat(24)}${paint(DIM, detail)}`)];
  });
}

/** Each delivery to a webhook has a result of its own, even if it equals the previous one. */
const ALWAYS_WHOLE = "WEBHOOK_DELIVERIES";
/** First values of a field that are not worth a mention. */
const EMPTY = ["0", "false", '""', "[]", "{}", '"none"'];

/** The fields whose value differs from the one that was shown last. */
function changedFields({ stream, fields = {} }: TimelineEntry, shown: Map<string, string>): string {
  if (stream === ALWAYS_WHOLE) return fieldsText(fields);
  const changed = Object.entries(fields).filter(([name, value]) => {
    const text = JSON.stringify(value);
    const last = shown.get(name);
    shown.set(name, text);
    return last === undefined ? !EMPTY.includes(text) : last !== text;
  });
  return fieldsText(Object.fromEntries(changed));
}

const durationLine = ({ state, attempt, host, lastedMs }: StateDuration): string =>
  `  ${state.padEnd(10)} attempt ${attempt}${host === undefined ? "" : ` on ${host}`}: ${lastedMs === undefined ? "until now" : durationOf(lastedMs)}`.replace(
    /^( {2}ended.*): until now$/,
    "$1",
  );

function timingLines(record: SessionOverview["record"]): string[] {
  const { joinMs, readyMs } = record?.timings ?? {};
  if (joinMs === undefined && readyMs === undefined) return [];
  const part = (what: string, ms: number | undefined) =>
    ms === undefined ? [] : [`${what} after ${durationOf(ms)}`];
  return [
    `  By the host's clock, from its acceptance: ${[...part("joined", joinMs), ...part("ready", readyMs)].join(", ")}.`,
  ];
}
