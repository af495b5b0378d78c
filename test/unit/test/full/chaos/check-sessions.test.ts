// The checks of sessions in a chaos run, each against a planted defect: 1, 2, 10 and 11.
import { describe, expect, test } from "vitest";
import { type Draft, ENDED_MS, HEALED_MS, recordCalls } from "../../../../kit/fixtures/chaos-story.ts";
import { healthyRun } from "../../../../kit/fixtures/healthy-run.ts";
import {
  eventOf,
  foundIn,
  lastOf,
  recordOf,
  without,
  writesOf,
} from "../../../../kit/fixtures/spoilt-run.ts";

describe("1: what was accepted exists", () => {
  test("reports an accepted session that never had a record", () => {
    const { invariants, message } = foundIn(({ starts }) => {
      starts.push({ ...starts[0]!, idempotencyKey: "key-lost", sessionId: "lost", canary: "canary-lost" });
    });
    expect(invariants).toEqual([1]);
    expect(message).toContain("lost was accepted at 1.0 s with status 202 and never had a record");
  });

  test("reports a start that was answered with not_found", () => {
    const { invariants, message } = foundIn(({ starts }) => {
      const { sessionId: _, ...first } = starts[0]!;
      starts.push({ ...first, status: 404, errorCode: "not_found" });
    });
    expect(invariants).toEqual([1]);
    expect(message).toBe(
      "the start with the key key-calm was answered at 1.0 s that there is no such session",
    );
  });

  test("reports a record that is deleted before its session's end, not after", () => {
    const remove = (draft: Draft, atMs: number) => {
      const revision = draft.written.length + 100;
      draft.written.push({ seenAtMs: atMs, key: "t.late", revision, record: undefined } as never);
      draft.remains.records = without(draft.remains.records, ({ sessionId: id }) => id === "late");
    };
    expect(foundIn((draft) => remove(draft, ENDED_MS + 5000)).invariants).toEqual([]);
    const early = foundIn((draft) => {
      draft.written = without(draft.written, (each) => each === lastOf(draft, "late"));
      remove(draft, ENDED_MS + 50);
      dropFromRollup(draft, "late");
      recordCalls(draft);
    });
    expect(early.invariants).toEqual([1]);
    expect(early.message).toContain("the record of late was removed at 105.0 s while it was ready");
  });
});

describe("2: sessions alive after the faults make progress", () => {
  test("reports a session that stays joined for too long, with the time", () => {
    const { invariants, message } = foundIn((draft) => {
      // The agent becomes ready 31 s after it joined.
      for (const write of writesOf(draft, "late").slice(3)) write.storedAtMs! += 31_200;
      draft.logs.at(-1)!.atMs += 31_200;
    });
    expect(invariants).toEqual([2]);
    expect(message).toContain("late#1 was joined and neither ready nor ended for 31.3 s from 70.0 s on");
  });

  test("accepts a session that waits for an agent within its own deadline", () => {
    const { invariants } = foundIn((draft) => {
      for (const write of writesOf(draft, "late").slice(1)) write.storedAtMs! += 34_000;
      draft.logs.at(-1)!.atMs += 34_000;
    });
    expect(invariants).toEqual([]);
  });

  test("reports a ready session whose agent isn't in its room", () => {
    const { invariants, message } = foundIn((draft) => {
      for (const { atMs, rooms } of draft.rooms) {
        const room = rooms.find(({ name }) => name === "session-late");
        if (room !== undefined && atMs > HEALED_MS + 35_000)
          room.participants = without(room.participants, ({ isAgent }) => isAgent);
      }
    });
    expect(invariants).toEqual([2]);
    expect(message).toContain("late#1 is ready at 95.3 s, and agent-late-1 is not in session-late");
  });

  test("reports a ready session whose agent is listed and dead", () => {
    const { invariants, message } = foundIn((draft) => {
      for (const { atMs, rooms } of draft.rooms)
        for (const { name, participants } of rooms)
          if (name === "session-slow" && atMs > HEALED_MS + 35_000) participants[0]!.answers = false;
    });
    expect(invariants).toEqual([2]);
    expect(message).toContain("agent-slow-3 does not answer in session-slow");
  });
});

describe("10: one key, one session", () => {
  test.each([
    [
      "a key with two sessions",
      ({ starts }: Draft) => {
        const own = starts.find(({ sessionId }) => sessionId === "calm")!;
        starts.push({ ...own, sessionId: "moved" });
      },
    ],
    [
      "a key that was accepted with another request",
      ({ starts }: Draft) => {
        starts.push({ ...starts[0]!, words: "other" });
      },
    ],
    [
      "a session with two requests",
      (draft: Draft) => {
        const stored = eventOf(draft, "calm", "requested");
        draft.events.push({ ...stored, sequence: 700, event: { ...stored.event!, at: "later" } } as never);
      },
    ],
  ])("reports %s", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([10]);
  });
});

describe("11: nobody sees another's data", () => {
  test("reports a canary in another session's answer", () => {
    const { invariants, message } = foundIn(({ looked }) => {
      looked[0]!.text += " canary-moved";
    });
    expect(invariants).toEqual([11]);
    expect(message).toContain("canary-calm reads canary-moved in /api/session/calm");
  });

  test("allows a tenant its own canaries, and none of another", () => {
    const path = "/api/sessions";
    expect(foundIn(({ looked }) => looked.push({ as: "t", path, text: "canary-calm" })).invariants).toEqual(
      [],
    );
    const { invariants, message } = foundIn(({ looked }) => {
      looked.push({ as: "other", path, text: "canary-calm" });
    });
    expect(invariants).toEqual([11]);
    expect(message).toContain("other reads canary-calm in /api/sessions");
  });

  test("reports a canary in another session's record", () => {
    const { invariants } = foundIn((draft) => {
      for (const { record } of writesOf(draft, "late")) record!.user.name = "canary-calm";
      recordOf(draft, "late").user.name = "canary-calm";
      (eventOf(draft, "late", "requested").event as { user: { name: string } }).user.name = "canary-calm";
    });
    expect(invariants).toEqual([11]);
  });
});

/** The rollup that the janitor would have written without that session. */
function dropFromRollup(draft: Draft, id: string): void {
  const record = recordOf(healthyRun(), id);
  const minute = `${record.history.at(-1)?.at.slice(0, 16)}Z`;
  const others = healthyRun().remains.records.filter(
    (each) => each.sessionId !== id && `${each.history.at(-1)?.at.slice(0, 16)}Z` === minute,
  );
  draft.remains.rollups = draft.remains.rollups.flatMap((rollup) => {
    if (rollup.minute !== minute) return [rollup];
    if (others.length === 0) return [];
    const starts = others.map((each) => startOf(each));
    return [
      {
        ...rollup,
        sessions: others.length,
        attempts: others.reduce((sum, { attempt }) => sum + attempt, 0),
        byReason: { completed: others.length },
        byWarmth: { warm: others.length },
        startMs: { p50: starts[0]!, p95: starts[0]!, max: starts[0]! },
      },
    ];
  });
}

const startOf = ({ history }: Draft["remains"]["records"][number]): number =>
  Math.max(0, Date.parse(history.find(({ state }) => state === "ready")!.at) - Date.parse(history[0]!.at));
