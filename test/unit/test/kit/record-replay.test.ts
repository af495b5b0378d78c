// What the system tests hold every session's life against sees what is wrong, also of a life that is long.
import { expect, test } from "vitest";
import type { SessionRecord } from "../../../../libs/contracts/sessions/session.ts";
import { reduceSession } from "../../../../libs/domain/session/reduce.ts";
import { HISTORY_MAX } from "../../../../libs/domain/session/transitions.ts";
import { expectLegalLife } from "../../../kit/checks/nothing-left.ts";
import { endByApi, getReady } from "../../../kit/fixtures/session-steps.ts";
import { AT, aSession } from "../../../kit/fixtures/sessions.ts";

const handOver = (record: SessionRecord, n: number): SessionRecord =>
  reduceSession(record, {
    type: "migrated",
    tenant: record.tenant,
    sessionId: record.sessionId,
    attempt: record.attempt,
    host: "h",
    epoch: 1,
    at: AT,
    reason: `for the ${n}th time`,
  });

/** Each revision of a session that is handed over so often. */
function lifeOf(handovers: number): SessionRecord[] {
  const revisions = [aSession("s")];
  const goOn = (to: (last: SessionRecord) => SessionRecord) =>
    revisions.push(to(revisions.at(-1) as SessionRecord));
  for (let n = 1; n <= handovers; n++) {
    goOn(getReady);
    goOn((last) => handOver(last, n));
  }
  goOn(endByApi);
  return revisions;
}

test.each([0, 1, 5, 20])("a life of %i hand-overs is legal", (handovers) => {
  const life = lifeOf(handovers);
  expect(life.at(-1)?.history.length).toBeLessThanOrEqual(HISTORY_MAX);
  expectLegalLife(life);
});

test.each([1, 20])("one of %i hand-overs that lost a line, or whose line was changed, isn't", (handovers) => {
  const life = lifeOf(handovers);
  const last = life.length - 2;
  const changed = (to: (history: SessionRecord["history"]) => SessionRecord["history"]) =>
    life.map((record, index) => (index < last ? record : { ...record, history: to(record.history) }));
  expect(() => expectLegalLife(changed((lines) => lines.filter((_, index) => index !== 1)))).toThrow();
  expect(() =>
    expectLegalLife(
      changed((lines) => lines.map((line, index) => (index === 1 ? { ...line, host: "x" } : line))),
    ),
  ).toThrow();
  expect(() => expectLegalLife([...life, { ...(life.at(-1) as SessionRecord), state: "ready" }])).toThrow();
});
