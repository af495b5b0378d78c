// How a story looks: a line for each thing that happened, with the time since the one before.

import type { Step } from "./describe-record.ts";
import type { SessionStory, TaskStory } from "./overview.ts";
import type { Live } from "./present-state.ts";
import type { Happening } from "./timeline.ts";

export type Paint = (color: number, text: string) => string;
export const plain: Paint = (_, text) => text;
export const colored: Paint = (color, text) => `\u001b[${color}m${text}\u001b[0m`;

const [DIM, CYAN, RED, YELLOW] = [90, 36, 31, 33];

export function sessionText(
  { subject, happenings, record, steps, gone }: SessionStory,
  live: Live | undefined,
  paint: Paint,
): string {
  const state = record === undefined ? "its record is gone" : `${record.state}, attempt ${record.attempt}`;
  return [
    paint(CYAN, `Session ${subject.id} of ${subject.tenant}: ${state}`),
    ...(record === undefined ? [] : [`  ${aboutOf(record)}`]),
    "",
    ...happeningLines(happenings, paint),
    ...(steps.length === 0
      ? []
      : ["", "How long each state lasted, by NATS's clock:", ...steps.map(stepLine)]),
    ...timingLines(record),
    ...(live === undefined ? [] : ["", "Now:", `  ${live.room}`, `  ${live.host}`]),
    ...(gone.length === 0 ? [] : ["", ...gone.map((line) => paint(YELLOW, line))]),
  ].join("\n");
}

export function taskText({ subject, happenings, record, gone, sessions }: TaskStory, paint: Paint): string {
  const head =
    record === undefined
      ? "its record is gone"
      : `${record.state}, ${record.attempt} attempts, to ${record.to}`;
  return [
    paint(CYAN, `Task ${subject.id} of ${subject.tenant}: ${head}`),
    ...(record?.error === undefined ? [] : [paint(RED, `  ${record.error.code}: ${record.error.message}`)]),
    "",
    ...happeningLines(happenings, paint),
    ...(gone.length === 0 ? [] : ["", ...gone.map((line) => paint(YELLOW, line))]),
    ...sessions.flatMap((story, index) => {
      const attempt = record?.attempts[index];
      const error = attempt?.error === undefined ? "" : `: ${attempt.error.code}, ${attempt.error.message}`;
      return [
        "",
        paint(CYAN, `Attempt ${attempt?.n}, ${attempt?.state}${error}`),
        sessionText(story, undefined, paint),
      ];
    }),
  ].join("\n");
}

const aboutOf = (record: NonNullable<SessionStory["record"]>): string =>
  [
    `profile ${record.profile}`,
    `provider ${record.provider ?? "pool"}`,
    `room ${record.room}`,
    `user ${record.user.id}`,
    ...(record.call === undefined ? [] : [`call to ${record.call.to}`]),
    ...(record.call?.task === undefined ? [] : [`for task ${record.call.task}`]),
  ].join(", ");

function happeningLines(happenings: readonly Happening[], paint: Paint): string[] {
  let beforeMs: number | undefined;
  return happenings.flatMap(({ at, stream, sequence, what, details }) => {
    const atMs = Date.parse(at);
    const since = beforeMs === undefined ? "" : `+${durationOf(atMs - beforeMs)}`;
    beforeMs = atMs;
    const isBad = what.startsWith("DEAD LETTER") || /^log (error|fatal)/.test(what);
    const line = `${at.replace("T", " ").replace("Z", "")} ${since.padStart(9)}  ${isBad ? paint(RED, what) : what}  ${paint(DIM, `${stream} ${sequence}`)}`;
    return [line, ...details.map((detail) => `${" ".repeat(35)}${paint(DIM, detail)}`)];
  });
}

const stepLine = ({ state, attempt, host, lastedMs }: Step): string =>
  `  ${state.padEnd(10)} attempt ${attempt}${host === undefined ? "" : ` on ${host}`}: ${lastedMs === undefined ? "until now" : durationOf(lastedMs)}`.replace(
    /^( {2}ended.*): until now$/,
    "$1",
  );

function timingLines(record: SessionStory["record"]): string[] {
  const { joinMs, readyMs } = record?.timings ?? {};
  if (joinMs === undefined && readyMs === undefined) return [];
  const part = (what: string, ms: number | undefined) =>
    ms === undefined ? [] : [`${what} after ${durationOf(ms)}`];
  return [
    `  By the host's own clock from its acceptance: ${[...part("joined", joinMs), ...part("ready", readyMs)].join(", ")}.`,
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
