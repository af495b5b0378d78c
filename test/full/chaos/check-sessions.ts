// Of the sessions: 1 what was accepted exists, 2 it settles, 10 one for each key, 11 nobody sees another's.
import { sessionKey } from "../../../libs/contracts/ids.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { phaseOf } from "../../../services/janitor/find-expired.ts";
import type { Asked, Evidence, RunMs, Violation } from "./evidence.ts";
import { groupBy, type Life, nameOf, type Read, recordAt, secondsOf } from "./read-evidence.ts";

/** From the end of the faults, or from its own beginning, to ready or ended. */
const SETTLE_MS = 30_000;
/** Around a change of its record an agent may be in its room just not yet, or not any more. */
const CROSSING_MS = 3000;

export function checkSessions(read: Read): Violation[] {
  return [
    ...checkAccepted(read),
    ...read.lives.flatMap((life) => checkSettled(life, read.evidence)),
    ...read.lives.flatMap((life) => checkServed(life, read.evidence)),
    ...checkEnded(read),
    ...checkKeys(read.evidence),
    ...checkLeaks(read),
  ];
}

const isAccepted = (asked: Asked): asked is Asked & { sessionId: string } => asked.sessionId !== undefined;

/** 1: whatever was accepted has a record, which is removed only after its end; nobody who starts it is told otherwise. */
function checkAccepted({ evidence, lives }: Read): Violation[] {
  const known = new Map(lives.map((life) => [life.key, life]));
  const asked = evidence.asked.filter(isAccepted);
  const never = [...groupBy(asked, ({ tenant, sessionId }) => sessionKey({ tenant, sessionId }))].flatMap(
    ([key, asks]): Violation[] => {
      if ((known.get(key)?.revisions.length ?? 0) > 0) return [];
      const [first] = asks;
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
  const denied = evidence.asked
    .filter(({ errorCode }) => errorCode === "not_found")
    .map(({ idempotencyKey, answeredAtMs }) => ({
      invariant: 1,
      what: `the start with the key ${idempotencyKey} was answered at ${secondsOf(answeredAtMs)} that there is no such session`,
    }));
  return [...never, ...lost, ...denied];
}

const isSettled = ({ state }: SessionRecord): boolean => state === "ready" || state === "ended";

/** 2: from the end of the faults on, no session is neither ready nor ended for longer than the limit. */
function checkSettled(life: Life, { healedAtMs, remains }: Evidence): Violation[] {
  const found: Violation[] = [];
  let sinceMs: RunMs | undefined;
  const end = (untilMs: RunMs) => {
    if (sinceMs === undefined) return;
    const fromMs = Math.max(sinceMs, healedAtMs);
    sinceMs = undefined;
    if (untilMs <= settledByMs(life, fromMs, healedAtMs)) return;
    const record = recordAt(life, untilMs - 1) ?? recordAt(life, untilMs);
    const name = nameOf(life.id, record?.attempt);
    const what = `${name} was ${record?.state} and neither ready nor ended for ${secondsOf(untilMs - fromMs)} from ${secondsOf(fromMs)} on, without a fault`;
    found.push({ invariant: 2, what, sessionId: life.id });
  };
  for (const { atMs, record } of life.revisions) {
    if (isSettled(record)) end(atMs);
    else sinceMs ??= atMs;
  }
  end(life.removedAtMs ?? remains.atMs);
  return found;
}

/** One that waits for an agent when its time is over has its own deadline, and then the same time once more. */
function settledByMs(life: Life, fromMs: RunMs, healedAtMs: RunMs): RunMs {
  const dueMs = fromMs + SETTLE_MS;
  const record = recordAt(life, dueMs);
  if (record?.state !== "requested") return dueMs;
  const phase = phaseOf(record);
  const since = life.revisions.find((each) => phaseOf(each.record) === phase)?.atMs ?? fromMs;
  // A janitor that was killed begins to measure anew.
  return Math.max(since, healedAtMs) + record.deadlineMs.requested + SETTLE_MS;
}

/** 2: ready means that its agent is in the room and alive, whenever somebody looks. */
function checkServed(life: Life, { healedAtMs, endedAtMs, rooms }: Evidence): Violation[] {
  for (const { atMs, rooms: seen } of rooms) {
    if (atMs < healedAtMs + SETTLE_MS || atMs > endedAtMs) continue;
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

/** 2: when the end of all was asked for, and the drain is over, all have ended. */
function checkEnded({ evidence, lives }: Read): Violation[] {
  if (evidence.remains.atMs < evidence.endedAtMs + SETTLE_MS) return [];
  return lives.flatMap(({ id, revisions, removedAtMs }) => {
    const last = revisions.at(-1)?.record;
    // Of what is neither, that it takes too long is told already.
    if (last?.state !== "ready" || removedAtMs !== undefined) return [];
    const when = secondsOf(evidence.endedAtMs);
    const what = `${nameOf(id, last.attempt)} is still ready; its end was asked for at ${when}`;
    return [{ invariant: 2, what, sessionId: id }];
  });
}

/** 10: one key, one session, with the words that were accepted; two keys, two sessions. */
function checkKeys({ asked }: Evidence): Violation[] {
  const found: Violation[] = [];
  const accepted = asked.filter(isAccepted);
  for (const [, asks] of groupBy(accepted, ({ tenant, idempotencyKey }) => `${tenant} ${idempotencyKey}`)) {
    const [first] = asks;
    if (first === undefined) continue;
    const ids = [...new Set(asks.map(({ sessionId }) => sessionId))];
    const key = `the key ${first.idempotencyKey} of ${first.tenant}`;
    if (ids.length > 1)
      found.push({
        invariant: 10,
        what: `${key} was given ${ids.length} sessions: ${ids.join(", ")}`,
        sessionId: first.sessionId,
      });
    const words = [...new Set(asks.map((each) => each.words))];
    if (words.length > 1)
      found.push({
        invariant: 10,
        what: `${key} was accepted with different words: ${words.join(" | ")}`,
        sessionId: first.sessionId,
      });
  }
  for (const [id, asks] of groupBy(accepted, ({ sessionId }) => sessionId)) {
    const keys = [...new Set(asks.map(({ tenant, idempotencyKey }) => `${tenant}/${idempotencyKey}`))];
    if (keys.length > 1)
      found.push({
        invariant: 10,
        what: `${id} was given to ${keys.length} keys: ${keys.join(", ")}`,
        sessionId: id,
      });
  }
  return found;
}

/** 11: what was told to one is found with nobody else: neither in answers, nor in another session's record. */
function checkLeaks({ evidence, lives }: Read): Violation[] {
  const secrets = evidence.asked.filter(({ canary }) => canary !== "");
  const seen = evidence.looked.flatMap(({ as, path, text }) =>
    secrets.flatMap((asked): Violation[] => {
      if (as === asked.canary || as === asked.tenant || !text.includes(asked.canary)) return [];
      const what = `${as} reads ${asked.canary} in ${path}`;
      return [
        { invariant: 11, what, ...(asked.sessionId === undefined ? {} : { sessionId: asked.sessionId }) },
      ];
    }),
  );
  const toldTo = new Map<string, Set<string>>();
  for (const { canary, tenant, sessionId } of secrets)
    if (sessionId !== undefined)
      toldTo.set(canary, (toldTo.get(canary) ?? new Set()).add(sessionKey({ tenant, sessionId })));
  const kept = lives.flatMap((life) => {
    const last = life.revisions.at(-1)?.record;
    if (last === undefined) return [];
    const found: Violation[] = [];
    if (life.key !== sessionKey(last))
      found.push({
        invariant: 11,
        what: `the record of ${sessionKey(last)} stands under ${life.key}`,
        sessionId: life.id,
      });
    const text = JSON.stringify(last);
    for (const [canary, told] of toldTo) {
      if (told.has(life.key) || !text.includes(canary)) continue;
      const what = `the record of ${life.key} holds ${canary}, which was told to ${[...told].join(" and ")}`;
      found.push({ invariant: 11, what, sessionId: life.id });
    }
    return found;
  });
  return [...new Map([...seen, ...kept].map((each) => [each.what, each])).values()];
}
