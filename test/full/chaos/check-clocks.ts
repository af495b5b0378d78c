// 14: no limit is said to have passed early, whatever the wall clocks of the processes say.
import { type Expired, phaseOf } from "../../../services/janitor/find-expired.ts";
import { limitOf } from "../../kit/checks/limit-of.ts";
import type { Said, Violation } from "./evidence.ts";
import { isUnreadable, type Life, nameOf, type Read } from "./read-evidence.ts";

/** The server's times are those of a message's arrival, and a janitor's are its own, in whole milliseconds. */
const ROUNDING_MS = 50;

export function checkClocks({ evidence, lives }: Read): Violation[] {
  const byKey = new Map(lives.map((life) => [life.key, life]));
  return evidence.said.flatMap((said) => {
    const { event, forgery } = said;
    if (event?.type !== "deadline_exceeded" || forgery !== undefined || isUnreadable(said)) return [];
    const life = byKey.get(`${event.tenant}.${event.sessionId}`);
    return life === undefined || isUnanswered(life, event) ? [] : tooEarly(life, event, said);
  });
}

/** Who didn't take the call is said to have never come, which the telephone tells long before any limit does. */
const isUnanswered = ({ revisions }: Life, { kind }: Expired): boolean =>
  kind === "user_absent" && revisions.some(({ record }) => record.call !== undefined);

function tooEarly(life: Life, event: Expired, { sequence, storedAtMs }: Said): Violation[] {
  const about = life.revisions.findLast(
    ({ record: { attempt, state } }) => attempt === event.attempt && state === event.state,
  );
  if (about === undefined || storedAtMs === undefined) return [];
  const phase = phaseOf(about.record);
  const since = life.revisions.find(({ record }) => phaseOf(record) === phase);
  const lastedMs = storedAtMs - (since ?? about).atMs;
  const limitMs = limitOf(event.kind, about.record);
  if (lastedMs + ROUNDING_MS >= limitMs) return [];
  const name = nameOf(event.sessionId, event.attempt);
  const what = `message ${sequence} says that ${name} is overdue (${event.kind}) when it had been ${event.state} for ${Math.round(lastedMs)} of ${limitMs} ms`;
  return [{ invariant: 14, what, sessionId: event.sessionId }];
}
