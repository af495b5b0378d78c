// The checks of records in a chaos run, each against a planted defect: 3, 4, 7 and 8.
import { describe, expect, test } from "vitest";
import type { SessionEvent } from "../../../../../libs/contracts/sessions/session.ts";
import { type Draft, recordCalls } from "../../../../kit/fixtures/chaos-story.ts";
import { eventOf, foundIn, lastOf, without, writesOf } from "../../../../kit/fixtures/spoilt-run.ts";

describe("3: only legal transitions", () => {
  test("reports a record that changes after its end", () => {
    const { invariants, message } = foundIn((draft) => {
      const last = lastOf(draft, "calm");
      const record = structuredClone(last.record!);
      record.history.push({ ...record.history.at(-1)!, reason: "once more" });
      record.writeId = "dispatcher:once-more";
      draft.written.push({ ...last, revision: 900, record });
      replace(draft, record);
    });
    expect(invariants).toEqual([3]);
    expect(message).toContain("calm#1 (revision 900) changes after its end");
  });

  test("reports a decreasing attempt", () => {
    const { invariants } = foundIn((draft) => {
      const [, , , , , second] = writesOf(draft, "moved");
      const record = structuredClone(second!.record!);
      record.attempt = 1;
      record.writeId = "a-fallen-one";
      const index = draft.written.indexOf(second!);
      draft.written.splice(index + 1, 0, { ...second!, revision: second!.revision + 0.5, record });
    });
    expect(invariants).toEqual([3]);
  });
});

describe("4: no revision is lost or forked", () => {
  test("reports a revision that was derived from an older one", () => {
    const { invariants, message } = foundIn((draft) => {
      const [, dispatched, joined] = writesOf(draft, "calm");
      const index = draft.written.indexOf(joined!);
      const record = { ...structuredClone(dispatched!.record!), writeId: "another-dispatcher:1" };
      // The session ends as if its agent had not joined.
      record.history.push({ ...record.history.at(-1)!, state: "ended", at: "2026-01-01T12:00:01.055Z" });
      draft.written.splice(index + 1, 0, { ...joined!, revision: joined!.revision + 0.5, record });
    });
    expect(invariants).toEqual([4]);
    expect(message).toMatch(/doesn't continue revision/);
  });

  test("reports a revision that is lost at the end", () => {
    const { invariants, message } = foundIn((draft) => {
      const earlier = writesOf(draft, "late").at(-2)!;
      replace(draft, earlier.record!);
    });
    expect(invariants).toEqual([4]);
    expect(message).toMatch(/revision \d+ of late#1 is lost: late#1 ready is stored at the end/);
  });

  test("reports two writes with one revision, and one write with two", () => {
    const twice = foundIn((draft) => {
      draft.written[3]!.revision = draft.written[2]!.revision;
    });
    expect(twice.invariants).toEqual([4]);
    const same = foundIn((draft) => {
      draft.written[3]!.record!.writeId = draft.written[2]!.record!.writeId;
    });
    expect(same.invariants).toEqual([4]);
    expect(same.message).toContain("is stored 2 times");
  });

  test("reports a host's event about an attempt that no revision gave it", () => {
    const { invariants, message } = foundIn((draft) => {
      const left = eventOf(draft, "calm", "user_left");
      const event = { ...(left.event as object), attempt: 4 } as SessionEvent;
      draft.events.push({ ...left, sequence: 500, event } as never);
    });
    expect(invariants).toEqual([4]);
    expect(message).toContain("h1 with epoch 3 published user_left of calm#4 (message 500)");
  });
});

describe("7: events of an old attempt change nothing", () => {
  test("reports an end that only a forged message explains, with the message", () => {
    const { invariants, message, sessions } = foundIn((draft) => {
      eventOf(draft, "moved", "agent_ended").forgery = "old_attempt";
    });
    expect(invariants).toEqual([7]);
    expect(message).toMatch(/only message \d+, which is forged \(old_attempt: .*explains moved#2 ended/);
    expect(sessions).toEqual(["moved"]);
  });

  test("reports an unexplained change", () => {
    const { invariants, message } = foundIn((draft) => {
      draft.events = without(draft.events, (each) => each === eventOf(draft, "moved", "agent_lost"));
    });
    expect(invariants).toEqual([7]);
    expect(message).toContain("no event explains moved#2 requested");
  });

  test("accepts a genuine message that is repeated as an explanation", () => {
    const { invariants } = foundIn((draft) => {
      const lost = eventOf(draft, "moved", "agent_lost");
      draft.events.push({ ...lost, sequence: 600, forgery: "late" });
    });
    expect(invariants).toEqual([]);
  });
});

describe("8: ready comes from the entrypoint", () => {
  test("reports a ready without a line in its host's log", () => {
    const { invariants, message } = foundIn((draft) => {
      draft.logs = without(draft.logs, ({ line }) => line.sessionId === "moved" && line.attempt === 2);
    });
    expect(invariants).toEqual([8]);
    expect(message).toMatch(
      /moved#2 is ready \(revision \d+\), but no host has logged that its entrypoint reported ready/,
    );
  });

  test("reports a ready before that line, and one with another identity", () => {
    const early = foundIn((draft) => {
      draft.logs[0]!.atMs += 6000;
    });
    expect(early.invariants).toEqual([8]);
    expect(early.message).toContain("calm#1 was ready 6000 ms before its entrypoint reported ready");
    const other = foundIn((draft) => {
      draft.logs[0]!.line = { ...draft.logs[0]!.line, identity: "somebody" } as never;
    });
    expect(other.invariants).toEqual([8]);
  });
});

function replace(draft: Draft, record: Draft["remains"]["records"][number]): void {
  draft.remains.records = draft.remains.records.map((each) =>
    each.sessionId === record.sessionId ? record : each,
  );
  recordCalls(draft);
}
