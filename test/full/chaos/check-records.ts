// Of the records: 3 legal steps, 4 no revision lost or forked, 7 old attempts change nothing, 8 ready is the agent's word.
import { isExternal } from "../../../libs/contracts/providers/provider.ts";
import type { SessionRecord } from "../../../libs/contracts/sessions/session.ts";
import { canonical, explain, gainedLines, illegalSteps } from "../../kit/checks/record-replay.ts";
import type { Evidence, Logged, Violation } from "./evidence.ts";
import { groupBy, type Life, nameOf, type Read, type Revision } from "./read-evidence.ts";

/** What a host writes at level debug when the agent's own code has said so, before it says so itself. */
export const READY_LINE = "agent is ready";

/** The run may read a line later than it sees the record, though it was written before. */
const LATE_LINE_MS = 5000;

export function checkRecords({ evidence, lives }: Read): Violation[] {
  return [
    ...lives.flatMap((life) => [...checkHistory(life), ...checkClaims(life), ...checkRequests(life)]),
    ...checkRevisions(evidence),
    ...checkStanding(evidence, lives),
    ...checkReady(evidence, lives),
  ];
}

const about = ({ id }: Life, invariant: number, what: string): Violation => ({
  invariant,
  what,
  sessionId: id,
});

/** 4, then 3, then 7: each revision goes on from the one before, by legal steps, for a reason that was said. */
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
      const what = `revision ${after.revision} of ${name} was not made of revision ${before.revision}: ${lost} is not in it`;
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
  const liar = life.forged.find((each) => explain(before?.record, after.record, [each], defaults));
  const by =
    liar === undefined
      ? "nothing that was said"
      : `only message ${liar.sequence}, which is forged (${liar.forgery}: ${JSON.stringify(liar.event)}),`;
  return [about(life, 7, `${by} makes ${change}`)];
}

/** 4: a host speaks of an attempt only after it has read the record that names it; so that record was saved. */
function checkClaims(life: Life): Violation[] {
  if (life.revisions.length === 0) return [];
  const claims = new Set(
    life.revisions.map(({ record }) => `${record.attempt} ${record.host} ${record.hostEpoch}`),
  );
  const first = life.revisions[0]?.record.history.length;
  return life.genuine.flatMap(({ event, sequence }) => {
    if (!("epoch" in event) || first === undefined) return [];
    if (claims.has(`${event.attempt} ${event.host} ${event.epoch}`)) return [];
    const who = `${event.host} in its life ${event.epoch}`;
    const what = `${who} says ${event.type} of ${nameOf(life.id, event.attempt)} (message ${sequence}), and no saved revision names it for that`;
    return [about(life, 4, what)];
  });
}

/** 10: one stored request for each session. */
function checkRequests(life: Life): Violation[] {
  const requests = life.genuine.filter(({ event }) => event.type === "requested");
  const distinct = new Set(requests.map(({ event }) => JSON.stringify(event)));
  if (distinct.size === 1 || (distinct.size === 0 && life.revisions.length === 0)) return [];
  const places = requests.map(({ sequence }) => sequence).join(", ");
  return [about(life, 10, `${life.id} has ${distinct.size} requests in the stream (messages ${places})`)];
}

/** 4: of the bucket's stream: each place was written once, by a write that was made once. */
function checkRevisions({ written }: Evidence): Violation[] {
  const found: Violation[] = [];
  let last = 0;
  for (const { revision, key } of written) {
    if (revision <= last)
      found.push({
        invariant: 4,
        what: `revision ${revision} of ${key} comes after revision ${last}`,
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

/** 4: what stands in the end is what was written last. */
function checkStanding({ remains }: Evidence, lives: readonly Life[]): Violation[] {
  const standing = new Map(remains.records.map((record) => [`${record.tenant}.${record.sessionId}`, record]));
  const found = lives.flatMap((life) => {
    const last = life.revisions.at(-1);
    const left = standing.get(life.key);
    standing.delete(life.key);
    if (last === undefined || life.removedAtMs !== undefined) return [];
    const name = nameOf(life.id, last.record.attempt);
    if (left === undefined)
      return [about(life, 4, `revision ${last.revision} of ${name} is lost: nothing stands in the end`)];
    if (canonical(left) === canonical(last.record)) return [];
    return [
      about(life, 4, `revision ${last.revision} of ${name} is lost: ${wordsFor(left)} stands in the end`),
    ];
  });
  const strangers = [...standing.values()].map((record) => ({
    invariant: 4,
    what: `${wordsFor(record)} stands in the end, and no such revision was seen`,
    sessionId: record.sessionId,
  }));
  return [...found, ...strangers];
}

const wordsFor = (record: SessionRecord): string =>
  `${nameOf(record.sessionId, record.attempt)} ${record.state}`;

/** 8: for each ready that was saved, the host's log has the word of that very attempt's entrypoint, and earlier. */
function checkReady({ logs }: Evidence, lives: readonly Life[]): Violation[] {
  const said = groupBy(
    logs.filter(({ line }) => line.msg === READY_LINE),
    ({ line }) => nameOf(String(line.sessionId), Number(line.attempt)),
  );
  return lives.flatMap((life) => {
    // Of an agent that somebody else brought there is no host that could say so.
    const readyCount = life.revisions.filter(
      ({ record }) => record.state === "ready" && !isExternal(record.provider),
    );
    return readyCount.flatMap(({ atMs, record, revision }) => {
      const name = nameOf(life.id, record.attempt);
      const lines = said.get(name) ?? [];
      if (lines.length === 0)
        return [
          about(
            life,
            8,
            `${name} is ready (revision ${revision}), and no host's log has its entrypoint's word`,
          ),
        ];
      const fits = lines.filter((line) => isOf(line, record));
      if (fits.length === 0)
        return [
          about(
            life,
            8,
            `${name} is ready as ${record.identity}, and the entrypoint's word is of ${lines[0]?.line.identity}`,
          ),
        ];
      if (fits.some((line) => line.atMs <= atMs + LATE_LINE_MS)) return [];
      const lateMs = Math.min(...fits.map((line) => line.atMs)) - atMs;
      return [about(life, 8, `${name} was ready ${Math.round(lateMs)} ms before its entrypoint said so`)];
    });
  });
}

const isOf = ({ line }: Logged, record: SessionRecord): boolean =>
  line.identity === record.identity && line.room === record.room;
