// The check of a session's life in system tests, also of a long life.
import { expect, test } from "vitest";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import { HISTORY_MAX } from "../../../../../libs/domain/session/transitions.ts";
import { expectLegalLife } from "../../../../kit/checks/nothing-left.ts";
import { endByApi, getReady } from "../../../../kit/fixtures/session-steps.ts";
import { AT, aSession } from "../../../../kit/fixtures/sessions.ts";

const migrate = (record: SessionRecord, n: number): SessionRecord =>
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

/** Each revision of a session with this number of migrations. */
function lifeOf(migrations: number): SessionRecord[] {
  const revisions = [aSession("s")];
  const goOn = (to: (last: SessionRecord) => SessionRecord) =>
    revisions.push(to(revisions.at(-1) as SessionRecord));
  for (let n = 1; n <= migrations; n++) {
    goOn(getReady);
    goOn((last) => migrate(last, n));
  }
  goOn(endByApi);
  return revisions;
}

test.each([0, 1, 5, 20])("accepts a life with %i migrations", (migrations) => {
  const revisions = lifeOf(migrations);
  expect(revisions.at(-1)?.history.length).toBeLessThanOrEqual(HISTORY_MAX);
  expectLegalLife(revisions);
});

test.each([1, 20])("rejects a life with %i migrations and a lost or changed history entry", (migrations) => {
  const revisions = lifeOf(migrations);
  const last = revisions.length - 2;
  const changed = (to: (history: SessionRecord["history"]) => SessionRecord["history"]) =>
    revisions.map((record, index) => (index < last ? record : { ...record, history: to(record.history) }));
  expect(() => expectLegalLife(changed((lines) => lines.filter((_, index) => index !== 1)))).toThrow();
  expect(() =>
    expectLegalLife(
      changed((lines) => lines.map((line, index) => (index === 1 ? { ...line, host: "x" } : line))),
    ),
  ).toThrow();
  expect(() =>
    expectLegalLife([...revisions, { ...(revisions.at(-1) as SessionRecord), state: "ready" }]),
  ).toThrow();
});
