// The checks of records in a chaos run each see their own defect: 3, 4, 7 and 8.
import { describe, expect, test } from "vitest";
import type { SessionEvent } from "../../../../../libs/contracts/sessions/session.ts";
import { type Draft, recordCalls } from "../../../../kit/fixtures/chaos-story.ts";
import { eventOf, foundIn, lastOf, without, writesOf } from "../../../../kit/fixtures/spoilt-run.ts";

describe("3: only legal steps", () => {
  test("a record that changes after its end is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const last = lastOf(draft, "calm");
      const record = structuredClone(last.record!);
      record.history.push({ ...record.history.at(-1)!, reason: "once more" });
      record.writeId = "dispatcher:once-more";
      draft.written.push({ ...last, revision: 900, record });
      replace(draft, record);
    });
    expect(invariants).toEqual([3]);
    expect(words).toContain("calm#1 (revision 900) changes after its end");
  });

  test("an attempt that falls is told", () => {
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
  test("a revision that was made of an older one is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const [, dispatched, joined] = writesOf(draft, "calm");
      const index = draft.written.indexOf(joined!);
      const record = { ...structuredClone(dispatched!.record!), writeId: "another-dispatcher:1" };
      // It ends the session, and doesn't know that the agent has joined.
      record.history.push({ ...record.history.at(-1)!, state: "ended", at: "2026-01-01T12:00:01.055Z" });
      draft.written.splice(index + 1, 0, { ...joined!, revision: joined!.revision + 0.5, record });
    });
    expect(invariants).toEqual([4]);
    expect(words).toMatch(/doesn't continue revision/);
  });

  test("a revision that stands no more in the end is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const earlier = writesOf(draft, "late").at(-2)!;
      replace(draft, earlier.record!);
    });
    expect(invariants).toEqual([4]);
    expect(words).toMatch(/revision \d+ of late#1 is lost: late#1 ready is stored at the end/);
  });

  test("two writes in one place, and one write in two, are told", () => {
    const twice = foundIn((draft) => {
      draft.written[3]!.revision = draft.written[2]!.revision;
    });
    expect(twice.invariants).toEqual([4]);
    const same = foundIn((draft) => {
      draft.written[3]!.record!.writeId = draft.written[2]!.record!.writeId;
    });
    expect(same.invariants).toEqual([4]);
    expect(same.words).toContain("is stored 2 times");
  });

  test("a host's word on an attempt that no saved revision gave it is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const left = eventOf(draft, "calm", "user_left");
      const event = { ...(left.event as object), attempt: 4 } as SessionEvent;
      draft.events.push({ ...left, sequence: 500, event } as never);
    });
    expect(invariants).toEqual([4]);
    expect(words).toContain("h1 with epoch 3 published user_left of calm#4 (message 500)");
  });
});

describe("7: an old attempt's events change nothing", () => {
  test("an end that only a forged message explains is told, with the message", () => {
    const { invariants, words, sessions } = foundIn((draft) => {
      eventOf(draft, "moved", "agent_ended").forgery = "old_attempt";
    });
    expect(invariants).toEqual([7]);
    expect(words).toMatch(/only message \d+, which is forged \(old_attempt: .*explains moved#2 ended/);
    expect(sessions).toEqual(["moved"]);
  });

  test("a change that nothing explains is told", () => {
    const { invariants, words } = foundIn((draft) => {
      draft.events = without(draft.events, (each) => each === eventOf(draft, "moved", "agent_lost"));
    });
    expect(invariants).toEqual([7]);
    expect(words).toContain("no event explains moved#2 requested");
  });

  test("a genuine message that is only repeated goes on explaining", () => {
    const { invariants } = foundIn((draft) => {
      const lost = eventOf(draft, "moved", "agent_lost");
      draft.events.push({ ...lost, sequence: 600, forgery: "late" });
    });
    expect(invariants).toEqual([]);
  });
});

describe("8: ready is the entrypoint's own word", () => {
  test("a ready without a line in its host's log is told", () => {
    const { invariants, words } = foundIn((draft) => {
      draft.logs = without(draft.logs, ({ line }) => line.sessionId === "moved" && line.attempt === 2);
    });
    expect(invariants).toEqual([8]);
    expect(words).toMatch(
      /moved#2 is ready \(revision \d+\), but no host has logged that its entrypoint reported ready/,
    );
  });

  test("so is one before the line, and one as somebody else", () => {
    const early = foundIn((draft) => {
      draft.logs[0]!.atMs += 6000;
    });
    expect(early.invariants).toEqual([8]);
    expect(early.words).toContain("calm#1 was ready 6000 ms before its entrypoint reported ready");
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
