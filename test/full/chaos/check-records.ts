// Invariants of records: 3 legal steps, 4 no lost or forked revision, 7 stale attempts change nothing, 8 agents report ready.
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { canonical, explain, gainedLines, illegalSteps } from "../../kit/checks/record-replay.ts";
import type { Evidence, Logged, Violation } from "./evidence.ts";
import { groupBy, type Life, nameOf, type Read, type Revision } from "./read-evidence.ts";

/** The host's debug line when the agent's own code reports ready, before the host publishes it. */
export const READY_LINE = "agent is ready";

/** The run may read a log line later than the record, although the line was written earlier. */
const LATE_LINE_MS = 5000;

export function checkRecords({ evidence, lives }: Read): Violation[] {
  return [
    ...lives.flatMap((life) => [...checkHistory(life), ...checkClaims(life), ...checkRequests(life)]),
    ...checkRevisions(evidence),
    ...checkNewest(evidence, lives),
    ...checkReady(evidence, lives),
  ];
}

const about = ({ id }: Life, invariant: number, what: string): Violation => ({
  invariant,
  what,
  sessionId: id,
});

/** 4, 3 and 7: each revision continues the one before, by legal steps, because of an event. */
function checkHistory(life: Life): Violation[] {
  const found: Violation[] = [];
  let before: Revision | undefined;
  for (const after of life.revisions) {
    found.push(...checkChange(life, before, after));
    before = after;
  }
  return found;
}

function checkChange(life: Life, before: Revision | undefined, after: Revision): Violation[] {
  const name = nameOf(life.id, after.record.attempt);
  if (before !== undefined) {
    if (gainedLines(before.record, after.record) === undefined) {
      const lost = JSON.stringify(before.record.history.at(-1));
      const what = `revision ${after.revision} of ${name} doesn't continue revision ${before.revision}: ${lost} is missing`;
      return [about(life, 4, what)];
    }
    if (after.record.attempt < before.record.attempt)
      return [about(life, 3, `${name} falls back from attempt ${before.record.attempt}`)];
    const faults = illegalSteps(before.record, after.record);
    if (faults.length > 0)
      return faults.map((fault) => about(life, 3, `${name} (revision ${after.revision}) ${fault}`));
  }
  const defaults = { deadlineMs: after.record.deadlineMs, maxAttempts: after.record.maxAttempts };
  if (explain(before?.record, after.record, life.genuine, defaults) !== undefined) return [];
  const last = after.record.history.at(-1);
  const change = `${name} ${after.record.state} (${last?.reason ?? last?.host ?? "no reason given"}, revision ${after.revision})`;
  const forged = life.forged.find((each) => explain(before?.record, after.record, [each], defaults));
  const by =
    forged === undefined
      ? "no event"
      : `only message ${forged.sequence}, which is forged (${forged.forgery}: ${JSON.stringify(forged.event)}),`;
  return [about(life, 7, `${by} explains ${change}`)];
}

/** 4: a host publishes events of an attempt only after it has read the record that names it, so that record exists. */
function checkClaims(life: Life): Violation[] {
  if (life.revisions.length === 0) return [];
  const claims = new Set(
    life.revisions.map(({ record }) => `${record.attempt} ${record.host} ${record.hostEpoch}`),
  );
  const first = life.revisions[0]?.record.history.length;
  return life.genuine.flatMap(({ event, sequence }) => {
    if (!("epoch" in event) || first === undefined) return [];
    if (claims.has(`${event.attempt} ${event.host} ${event.epoch}`)) return [];
    const host = `${event.host} with epoch ${event.epoch}`;
    const what = `${host} published ${event.type} of ${nameOf(life.id, event.attempt)} (message ${sequence}), but no revision names that host`;
    return [about(life, 4, what)];
  });
}

/** 10: one stored request for each session. */
function checkRequests(life: Life): Violation[] {
  const requests = life.genuine.filter(({ event }) => event.type === "requested");
  const distinct = new Set(requests.map(({ event }) => JSON.stringify(event)));
  if (distinct.size === 1 || (distinct.size === 0 && life.revisions.length === 0)) return [];
  const sequences = requests.map(({ sequence }) => sequence).join(", ");
  return [about(life, 10, `${life.id} has ${distinct.size} requests in the stream (messages ${sequences})`)];
}

/** 4: the bucket's stream has each revision once, and each write once. */
function checkRevisions({ written }: Evidence): Violation[] {
  const found: Violation[] = [];
  let last = 0;
  for (const { revision, key } of written) {
    if (revision <= last)
      found.push({
        invariant: 4,
        what: `revision ${revision} of ${key} follows revision ${last}`,
        sessionId: key.split(".")[1] ?? key,
      });
    last = Math.max(last, revision);
  }
  const records = written.flatMap((each) => (each.record === undefined ? [] : [each]));
  for (const [writeId, writes] of groupBy(records, ({ record }) => record?.writeId ?? "")) {
    if (writes.length < 2) continue;
    const where = writes.map(({ key, revision }) => `${key} at ${revision}`).join(" and ");
    const sessionId = writes[0]?.record?.sessionId;
    const what = `the write ${writeId} is stored ${writes.length} times: ${where}`;
    found.push({ invariant: 4, what, ...(sessionId === undefined ? {} : { sessionId }) });
  }
  return found;
}

/** 4: the record at the end is the last revision. */
function checkNewest({ remains }: Evidence, lives: readonly Life[]): Violation[] {
  const stored = new Map(remains.records.map((record) => [`${record.tenant}.${record.sessionId}`, record]));
  const found = lives.flatMap((life) => {
    const last = life.revisions.at(-1);
    const left = stored.get(life.key);
    stored.delete(life.key);
    if (last === undefined || life.removedAtMs !== undefined) return [];
    const name = nameOf(life.id, last.record.attempt);
    if (left === undefined)
      return [about(life, 4, `revision ${last.revision} of ${name} is lost: there is no record at the end`)];
    if (canonical(left) === canonical(last.record)) return [];
    return [
      about(life, 4, `revision ${last.revision} of ${name} is lost: ${wordsFor(left)} is stored at the end`),
    ];
  });
  const strangers = [...stored.values()].map((record) => ({
    invariant: 4,
    what: `${wordsFor(record)} is stored at the end, but no such revision was seen`,
    sessionId: record.sessionId,
  }));
  return [...found, ...strangers];
}

const wordsFor = (record: SessionRecord): string =>
  `${nameOf(record.sessionId, record.attempt)} ${record.state}`;

/** 8: for each ready record, the host has logged earlier that the entrypoint of that attempt reported ready. */
function checkReady({ logs }: Evidence, lives: readonly Life[]): Violation[] {
  const linesOf = groupBy(
    logs.filter(({ line }) => line.msg === READY_LINE),
    ({ line }) => nameOf(String(line.sessionId), Number(line.attempt)),
  );
  return lives.flatMap((life) => {
    // An external provider's agent has no host that could log the line.
    const readyRevisions = life.revisions.filter(
      ({ record }) => record.state === "ready" && !isExternal(record.provider),
    );
    return readyRevisions.flatMap(({ atMs, record, revision }) => {
      const name = nameOf(life.id, record.attempt);
      const lines = linesOf.get(name) ?? [];
      if (lines.length === 0)
        return [
          about(
            life,
            8,
            `${name} is ready (revision ${revision}), but no host has logged that its entrypoint reported ready`,
          ),
        ];
      const fits = lines.filter((line) => isOf(line, record));
      if (fits.length === 0)
        return [
          about(
            life,
            8,
            `${name} is ready as ${record.identity}, but the entrypoint reported ready as ${lines[0]?.line.identity}`,
          ),
        ];
      if (fits.some((line) => line.atMs <= atMs + LATE_LINE_MS)) return [];
      const lateMs = Math.min(...fits.map((line) => line.atMs)) - atMs;
      return [
        about(life, 8, `${name} was ready ${Math.round(lateMs)} ms before its entrypoint reported ready`),
      ];
    });
  });
}

const isOf = ({ line }: Logged, record: SessionRecord): boolean =>
  line.identity === record.identity && line.room === record.room;
