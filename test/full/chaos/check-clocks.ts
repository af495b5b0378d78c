// Invariant 14: no deadline is reported early, whatever wall clocks the processes have.
import { type Expired, phaseOf } from "../../../services/janitor/find-expired.ts";
import { limitOf } from "../../kit/checks/limit-of.ts";
import type { StoredEvent, Violation } from "./evidence.ts";
import { isUnreadable, type Life, nameOf, type Read } from "./read-evidence.ts";

/** The server stamps messages on arrival, and a janitor measures whole milliseconds on its own clock. */
const ROUNDING_MS = 50;

export function checkClocks({ evidence, lives }: Read): Violation[] {
  const byKey = new Map(lives.map((life) => [life.key, life]));
  return evidence.events.flatMap((stored) => {
    const { event, forgery } = stored;
    if (event?.type !== "deadline_exceeded" || forgery !== undefined || isUnreadable(stored)) return [];
    const life = byKey.get(`${event.tenant}.${event.sessionId}`);
    return life === undefined || isUnanswered(life, event) ? [] : tooEarly(life, event, stored);
  });
}

/** A callee who doesn't answer counts as absent long before the deadline, because the telephone reports it. */
const isUnanswered = ({ revisions }: Life, { kind }: Expired): boolean =>
  kind === "user_absent" && revisions.some(({ record }) => record.call !== undefined);

function tooEarly(life: Life, event: Expired, { sequence, storedAtMs }: StoredEvent): Violation[] {
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
  const lasted = `${Math.round(lastedMs)} of ${limitMs} ms`;
  const what = `message ${sequence} reports a missed deadline (${event.kind}) of ${name}, ${event.state} for ${lasted}`;
  return [{ invariant: 14, what, sessionId: event.sessionId }];
}
