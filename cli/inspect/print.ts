// Formats an overview: a line for each event, with the time since the previous one.

import type { StateDuration } from "./describe-record.ts";
import type { SessionOverview, TaskOverview } from "./overview.ts";
import type { PresentState } from "./present-state.ts";
import type { TimelineEntry } from "./timeline.ts";

export type Paint = (color: number, text: string) => string;
export const plain: Paint = (_, text) => text;
export const colored: Paint = (color, text) => `\u001b[${color}m${text}\u001b[0m`;

const [DIM, CYAN, RED, YELLOW] = [90, 36, 31, 33];

export function sessionText(
  { subject, timeline, record, steps, gone }: SessionOverview,
  live: PresentState | undefined,
  paint: Paint,
): string {
  const state = record === undefined ? "record deleted" : `${record.state}, attempt ${record.attempt}`;
  return [
    paint(CYAN, `Session ${subject.id} of ${subject.tenant}: ${state}`),
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
    `room ${record.room}`,
    `user ${record.user.id}`,
    ...(record.call === undefined ? [] : [`call to ${record.call.to}`]),
    ...(record.call?.task === undefined ? [] : [`for task ${record.call.task}`]),
  ].join(", ");

function timelineLines(timeline: readonly TimelineEntry[], paint: Paint): string[] {
  let beforeMs: number | undefined;
  return timeline.flatMap(({ at, stream, sequence, what, details }) => {
    const atMs = Date.parse(at);
    const since = beforeMs === undefined ? "" : `+${durationOf(atMs - beforeMs)}`;
    beforeMs = atMs;
    const isBad = what.startsWith("DEAD LETTER") || /^log (error|fatal)/.test(what);
    const line = `${at.replace("T", " ").replace("Z", "")} ${since.padStart(9)}  ${isBad ? paint(RED, what) : what}  ${paint(DIM, `${stream} ${sequence}`)}`;
    return [line, ...details.map((detail) => `${" ".repeat(35)}${paint(DIM, detail)}`)];
  });
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

export function durationOf(ms: number): string {
  const rounded = Math.round(ms);
  if (Math.abs(rounded) < 1000) return `${rounded} ms`;
  if (Math.abs(rounded) < 120_000) return `${(rounded / 1000).toFixed(1)} s`;
  const minutes = Math.floor(rounded / 60_000);
  return minutes < 120
    ? `${minutes} min ${Math.round((rounded % 60_000) / 1000)} s`
    : `${(minutes / 60).toFixed(1)} h`;
}
