// Invariants of sessions: 1 accepted ones exist, 2 they become ready or end, 10 one per key, 11 no leak to others.
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { phaseOf } from "../../../services/janitor/find-expired.ts";
import type { Evidence, RunMs, SentStart, Violation } from "./evidence.ts";
import { groupBy, type Life, nameOf, type Read, recordAt, secondsOf } from "./read-evidence.ts";

/** The longest time to ready or ended, from the end of the faults or the start of the session. */
const DECIDE_MS = 30_000;
/** Around a change of the record an agent may not be in the room yet, or any more. */
const CROSSING_MS = 3000;

export function checkSessions(read: Read): Violation[] {
  return [
    ...checkAccepted(read),
    ...read.lives.flatMap((life) => checkDecided(life, read.evidence)),
    ...read.lives.flatMap((life) => checkServed(life, read.evidence)),
    ...checkEnded(read),
    ...checkKeys(read.evidence),
    ...checkLeaks(read),
  ];
}

const isAccepted = (start: SentStart): start is SentStart & { sessionId: string } =>
  start.sessionId !== undefined;

/** 1: an accepted session has a record until after its end, and a repeated start never gets 404. */
function checkAccepted({ evidence, lives }: Read): Violation[] {
  const known = new Map(lives.map((life) => [life.key, life]));
  const accepted = evidence.starts.filter(isAccepted);
  const never = [...groupBy(accepted, ({ tenant, sessionId }) => sessionKey({ tenant, sessionId }))].flatMap(
    ([key, starts]): Violation[] => {
      if ((known.get(key)?.revisions.length ?? 0) > 0) return [];
      const [first] = starts;
      if (first === undefined) return [];
      const when = `at ${secondsOf(first.answeredAtMs)} with status ${first.status}`;
      const what = `${first.sessionId} was accepted ${when} and never had a record`;
      return [{ invariant: 1, what, sessionId: first.sessionId }];
    },
  );
  const lost = lives.flatMap(({ id, removedAtMs, revisions }): Violation[] => {
    const last = revisions.at(-1)?.record;
    if (removedAtMs === undefined || last?.state === "ended") return [];
    const what = `the record of ${id} was removed at ${secondsOf(removedAtMs)} while it was ${last?.state ?? "unknown"}`;
    return [{ invariant: 1, what, sessionId: id }];
  });
  const denied = evidence.starts
    .filter(({ errorCode }) => errorCode === "not_found")
    .map(({ idempotencyKey, answeredAtMs }) => ({
      invariant: 1,
      what: `the start with the key ${idempotencyKey} was answered at ${secondsOf(answeredAtMs)} that there is no such session`,
    }));
  return [...never, ...lost, ...denied];
}

const isDecided = ({ state }: SessionRecord): boolean => state === "ready" || state === "ended";

/** 2: after the end of the faults, every session becomes ready or ends within the limit. */
function checkDecided(life: Life, { healedAtMs, remains }: Evidence): Violation[] {
  const found: Violation[] = [];
  let sinceMs: RunMs | undefined;
  const end = (untilMs: RunMs) => {
    if (sinceMs === undefined) return;
    const fromMs = Math.max(sinceMs, healedAtMs);
    sinceMs = undefined;
    if (untilMs <= decidedByMs(life, fromMs, healedAtMs)) return;
    const record = recordAt(life, untilMs - 1) ?? recordAt(life, untilMs);
    const name = nameOf(life.id, record?.attempt);
    const what = `${name} was ${record?.state} and neither ready nor ended for ${secondsOf(untilMs - fromMs)} from ${secondsOf(fromMs)} on, without a fault`;
    found.push({ invariant: 2, what, sessionId: life.id });
  };
  for (const { atMs, record } of life.revisions) {
    if (isDecided(record)) end(atMs);
    else sinceMs ??= atMs;
  }
  end(life.removedAtMs ?? remains.atMs);
  return found;
}

/** A session that waits for an agent at that time has its own deadline, and the same time once more after it. */
function decidedByMs(life: Life, fromMs: RunMs, healedAtMs: RunMs): RunMs {
  const dueMs = fromMs + DECIDE_MS;
  const record = recordAt(life, dueMs);
  if (record?.state !== "requested") return dueMs;
  const phase = phaseOf(record);
  const since = life.revisions.find((each) => phaseOf(each.record) === phase)?.atMs ?? fromMs;
  // A killed janitor starts its measurement from zero.
  return Math.max(since, healedAtMs) + record.deadlineMs.requested + DECIDE_MS;
}

/** 2: the agent of a ready session is in the room and alive. */
function checkServed(life: Life, { healedAtMs, endedAtMs, rooms }: Evidence): Violation[] {
  for (const { atMs, rooms: seen } of rooms) {
    if (atMs < healedAtMs + DECIDE_MS || atMs > endedAtMs) continue;
    const record = recordAt(life, atMs - CROSSING_MS);
    if (record?.state !== "ready" || record !== recordAt(life, atMs + CROSSING_MS)) continue;
    // VAPI brings its agent to its own call: there is no room.
    if (record.provider === "vapi") continue;
    const room = seen.find(({ name }) => name === record.room);
    const agent = room?.participants.find(({ identity }) => identity === record.identity);
    if (agent !== undefined && agent.answers !== false) continue;
    const lack =
      room === undefined
        ? `there is no room ${record.room}`
        : agent === undefined
          ? `${record.identity} is not in ${record.room}`
          : `${record.identity} does not answer in ${record.room}`;
    const what = `${nameOf(life.id, record.attempt)} is ready at ${secondsOf(atMs)}, and ${lack}`;
    return [{ invariant: 2, what, sessionId: life.id }];
  }
  return [];
}

/** 2: all sessions have ended after their ends are requested and the drain is over. */
function checkEnded({ evidence, lives }: Read): Violation[] {
  if (evidence.remains.atMs < evidence.endedAtMs + DECIDE_MS) return [];
  return lives.flatMap(({ id, revisions, removedAtMs }) => {
    const last = revisions.at(-1)?.record;
    // checkDecided reports a session in any other state.
    if (last?.state !== "ready" || removedAtMs !== undefined) return [];
    const when = secondsOf(evidence.endedAtMs);
    const what = `${nameOf(id, last.attempt)} is still ready; its end was requested at ${when}`;
    return [{ invariant: 2, what, sessionId: id }];
  });
}

/** 10: a key has one session with one request, and two keys have two sessions. */
function checkKeys(evidence: Evidence): Violation[] {
  const found: Violation[] = [];
  const accepted = evidence.starts.filter(isAccepted);
  for (const [, starts] of groupBy(accepted, ({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`)) {
    const [first] = starts;
    if (first === undefined) continue;
    const ids = [...new Set(starts.map(({ sessionId }) => sessionId))];
    const key = `the key ${first.idempotencyKey} of ${first.tenant}`;
    if (ids.length > 1)
      found.push({
        invariant: 10,
        what: `${key} was given ${ids.length} sessions: ${ids.join(", ")}`,
        sessionId: first.sessionId,
      });
    const words = [...new Set(starts.map((each) => each.words))];
    if (words.length > 1)
      found.push({
        invariant: 10,
        what: `${key} was accepted with different words: ${words.join(" | ")}`,
        sessionId: first.sessionId,
      });
  }
  for (const [id, starts] of groupBy(accepted, ({ sessionId }) => sessionId)) {
    const keys = [...new Set(starts.map(({ tenant, idempotencyKey }) => `${tenant}/${idempotencyKey}`))];
    if (keys.length > 1)
      found.push({
        invariant: 10,
        what: `${id} was given to ${keys.length} keys: ${keys.join(", ")}`,
        sessionId: id,
      });
  }
  return found;
}

/** 11: a canary of one user appears in no answer for others and in no other session's record. */
function checkLeaks({ evidence, lives }: Read): Violation[] {
  const secrets = evidence.starts.filter(({ canary }) => canary !== "");
  const seen = evidence.looked.flatMap(({ as, path, text }) =>
    secrets.flatMap(({ canary, tenant, sessionId }): Violation[] => {
      if (as === canary || as === tenant || !text.includes(canary)) return [];
      const what = `${as} reads ${canary} in ${path}`;
      return [{ invariant: 11, what, ...(sessionId === undefined ? {} : { sessionId }) }];
    }),
  );
  const keysOf = new Map<string, Set<string>>();
  for (const { canary, tenant, sessionId } of secrets)
    if (sessionId !== undefined)
      keysOf.set(canary, (keysOf.get(canary) ?? new Set()).add(sessionKey({ tenant, sessionId })));
  const kept = lives.flatMap((life) => {
    const last = life.revisions.at(-1)?.record;
    if (last === undefined) return [];
    const found: Violation[] = [];
    if (life.key !== sessionKey(last))
      found.push({
        invariant: 11,
        what: `the record of ${sessionKey(last)} is stored under ${life.key}`,
        sessionId: life.id,
      });
    const text = JSON.stringify(last);
    for (const [canary, keys] of keysOf) {
      if (keys.has(life.key) || !text.includes(canary)) continue;
      const what = `the record of ${life.key} contains ${canary}, which belongs to ${[...keys].join(" and ")}`;
      found.push({ invariant: 11, what, sessionId: life.id });
    }
    return found;
  });
  return [...new Map([...seen, ...kept].map((each) => [each.what, each])).values()];
}
