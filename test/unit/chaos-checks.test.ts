// The checks of a chaos run see what is wrong: a healthy run has no violation, and each defect gives its own.
import { describe, expect, test } from "vitest";
import type { SessionEvent } from "../../libs/contracts/session.ts";
import { checkEvidence } from "../chaos/check-evidence.ts";
import { type Draft, ENDED_MS, HEALED_MS, healthyRun } from "../support/healthy-run.ts";

/** The evidence of a healthy run with one thing changed, and which invariants that breaks. */
function foundIn(spoil: (draft: Draft) => void): {
  invariants: number[];
  words: string;
  sessions: unknown[];
} {
  const draft = healthyRun();
  spoil(draft);
  const found = checkEvidence(draft);
  return {
    invariants: [...new Set(found.map(({ invariant }) => invariant))],
    words: found.map(({ what }) => what).join("\n"),
    sessions: [...new Set(found.map(({ sessionId }) => sessionId))],
  };
}

const writesOf = (draft: Draft, id: string) => draft.written.filter(({ key }) => key === `t.${id}`);
const lastOf = (draft: Draft, id: string) => writesOf(draft, id).at(-1)!;
const saidOf = (draft: Draft, id: string, type: string) =>
  draft.said.find(
    ({ event, forgery }) => event?.sessionId === id && event.type === type && forgery === undefined,
  )!;
const standing = (draft: Draft, id: string) => draft.remains.records.find((record) => record.id === id)!;
const without = <T>(items: T[], unwanted: (item: T) => boolean): T[] =>
  items.filter((item) => !unwanted(item));

test("nothing is wrong with a healthy run", () => {
  expect(checkEvidence(healthyRun())).toEqual([]);
});

describe("1: what was accepted exists", () => {
  test("a session that was accepted and never had a record is missed", () => {
    const { invariants, words } = foundIn(({ asked }) => {
      asked.push({ ...asked[0]!, idempotencyKey: "key-lost", sessionId: "lost", canary: "canary-lost" });
    });
    expect(invariants).toEqual([1]);
    expect(words).toContain("lost was accepted at 1.0 s with status 202 and never had a record");
  });

  test("a record that is removed before its session's end is missed; after it, it isn't", () => {
    const remove = (draft: Draft, atMs: number) => {
      const revision = draft.written.length + 100;
      draft.written.push({ seenAtMs: atMs, key: "t.late", revision, record: undefined } as never);
      draft.remains.records = without(draft.remains.records, ({ id }) => id === "late");
    };
    expect(foundIn((draft) => remove(draft, ENDED_MS + 5000)).invariants).toEqual([]);
    const early = foundIn((draft) => {
      draft.written = without(draft.written, (each) => each === lastOf(draft, "late"));
      remove(draft, ENDED_MS + 50);
      dropFromRollUps(draft, "late");
    });
    expect(early.invariants).toEqual([1]);
    expect(early.words).toContain("the record of late was removed at 105.0 s while it was ready");
  });
});

/** As the janitor would have made it had that session not been there. */
function dropFromRollUps(draft: Draft, id: string): void {
  const record = standing(healthyRun(), id);
  const minute = `${record.history.at(-1)?.at.slice(0, 16)}Z`;
  const others = healthyRun().remains.records.filter(
    (each) => each.id !== id && `${each.history.at(-1)?.at.slice(0, 16)}Z` === minute,
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

describe("2: what is alive after the faults settles", () => {
  test("a session that stays joined for too long is told, with how long", () => {
    const { invariants, words } = foundIn((draft) => {
      // Everything about its being ready comes 31 s after its agent joined.
      for (const write of writesOf(draft, "late").slice(3)) write.storedAtMs! += 31_200;
      draft.logs.at(-1)!.atMs += 31_200;
    });
    expect(invariants).toEqual([2]);
    expect(words).toContain("late#1 was joined and neither ready nor ended for 31.3 s from 70.0 s on");
  });

  test("one that waits for an agent within its own limit is not", () => {
    const { invariants } = foundIn((draft) => {
      for (const write of writesOf(draft, "late").slice(1)) write.storedAtMs! += 34_000;
      draft.logs.at(-1)!.atMs += 34_000;
    });
    expect(invariants).toEqual([]);
  });

  test("a ready session whose agent isn't in its room is told", () => {
    const { invariants, words } = foundIn((draft) => {
      for (const { atMs, rooms } of draft.rooms) {
        const room = rooms.find(({ name }) => name === "session-late");
        if (room !== undefined && atMs > HEALED_MS + 35_000)
          room.participants = without(room.participants, ({ isAgent }) => isAgent);
      }
    });
    expect(invariants).toEqual([2]);
    expect(words).toContain("late#1 is ready at 95.3 s, and agent-late-1 is not in session-late");
  });

  test("so is one whose agent is listed and dead", () => {
    const { invariants, words } = foundIn((draft) => {
      for (const { atMs, rooms } of draft.rooms)
        for (const { name, participants } of rooms)
          if (name === "session-slow" && atMs > HEALED_MS + 35_000) participants[0]!.answers = false;
    });
    expect(invariants).toEqual([2]);
    expect(words).toContain("agent-slow-3 does not answer in session-slow");
  });
});

describe("3: only legal steps", () => {
  test("a record that changes after its end is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const last = lastOf(draft, "calm");
      const record = structuredClone(last.record!);
      record.history.push({ ...record.history.at(-1)!, why: "once more" });
      record.opId = "dispatcher:once-more";
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
      record.opId = "a-fallen-one";
      const index = draft.written.indexOf(second!);
      draft.written.splice(index + 1, 0, { ...second!, revision: second!.revision + 0.5, record });
    });
    expect(invariants).toEqual([3]);
  });
});

function replace(draft: Draft, record: Draft["remains"]["records"][number]): void {
  draft.remains.records = draft.remains.records.map((each) => (each.id === record.id ? record : each));
}

describe("4: no revision is lost or forked", () => {
  test("a revision that was made of an older one is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const [, dispatched, joined] = writesOf(draft, "calm");
      const index = draft.written.indexOf(joined!);
      const record = { ...structuredClone(dispatched!.record!), opId: "another-dispatcher:1" };
      // It ends the session, and doesn't know that the agent has joined.
      record.history.push({ ...record.history.at(-1)!, state: "ended", at: "2026-01-01T12:00:01.055Z" });
      draft.written.splice(index + 1, 0, { ...joined!, revision: joined!.revision + 0.5, record });
    });
    expect(invariants).toEqual([4]);
    expect(words).toMatch(/was not made of revision/);
  });

  test("a revision that stands no more in the end is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const earlier = writesOf(draft, "late").at(-2)!;
      replace(draft, earlier.record!);
    });
    expect(invariants).toEqual([4]);
    expect(words).toMatch(/revision \d+ of late#1 is lost: late#1 ready stands in the end/);
  });

  test("two writes in one place, and one write in two, are told", () => {
    const twice = foundIn((draft) => {
      draft.written[3]!.revision = draft.written[2]!.revision;
    });
    expect(twice.invariants).toEqual([4]);
    const same = foundIn((draft) => {
      draft.written[3]!.record!.opId = draft.written[2]!.record!.opId;
    });
    expect(same.invariants).toEqual([4]);
    expect(same.words).toContain("is stored 2 times");
  });

  test("a host's word on an attempt that no saved revision gave it is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const left = saidOf(draft, "calm", "user_left");
      const event = { ...(left.event as object), attempt: 4 } as SessionEvent;
      draft.said.push({ ...left, sequence: 500, event } as never);
    });
    expect(invariants).toEqual([4]);
    expect(words).toContain("h1 in its life 3 says user_left of calm#4 (message 500)");
  });
});

describe("5 and 6: one agent", () => {
  test("a slot that serves a second session is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const slot = slotsOf(draft, "slow").at(-1)!;
      for (const each of slotsOf(draft, "slow")) each.id = "slot-1";
      expect(slot.id).toBe("slot-1");
    });
    expect(invariants).toEqual([5]);
    expect(words).toMatch(/slot slot-1 of h1 serves slow#3 at .* and calm#1 at/);
  });

  test("two living agents in a room for more than 3 s are told, if nothing hindered them", () => {
    const wake = (draft: Draft, untilMs: number) => {
      for (const { atMs, rooms } of draft.rooms)
        for (const { name, participants } of rooms)
          if (name === "session-moved" && atMs < untilMs)
            for (const one of participants) if (one.answers === false) one.answers = true;
    };
    expect(foundIn((draft) => wake(draft, 33_000)).invariants).toEqual([]);
    const { invariants, words } = foundIn((draft) => wake(draft, 36_000));
    expect(invariants).toEqual([6]);
    expect(words).toMatch(
      /moved#1 \(agent-moved-1\) and moved#2 \(agent-moved-2\) are both alive in session-moved for 5\.5 s/,
    );
    const hindered = foundIn((draft) => {
      wake(draft, 36_000);
      draft.faults.push({ kind: "SIGSTOP of LiveKit", target: "livekit", fromMs: 29_000, untilMs: 29_500 });
    });
    expect(hindered.invariants).toEqual([]);
  });

  test("an identity that two attempts have is told", () => {
    const { invariants, words } = foundIn((draft) => {
      renameEverywhere(draft, "agent-moved-2", "agent-moved-1");
    });
    expect(invariants).toEqual([6]);
    expect(words).toContain("agent-moved-1 is the agent of moved#1 and of moved#2");
  });

  test("an attempt that runs in two slots is told", () => {
    const { invariants } = foundIn((draft) => {
      const [first] = slotsOf(draft, "late");
      first!.id = "slot-9";
    });
    expect(invariants).toEqual([6]);
  });
});

const slotsOf = (draft: Draft, session: string) =>
  draft.hosts.flatMap(({ host }) =>
    host.stages.flatMap(({ slots }) => slots.filter((slot) => slot.session === session)),
  );

function renameEverywhere(draft: Draft, from: string, to: string): void {
  const renamed = JSON.parse(JSON.stringify(draft.written).replaceAll(from, to)) as Draft["written"];
  draft.written = renamed;
  draft.said = JSON.parse(JSON.stringify(draft.said).replaceAll(from, to)) as Draft["said"];
  draft.logs = JSON.parse(JSON.stringify(draft.logs).replaceAll(from, to)) as Draft["logs"];
  draft.remains.records = JSON.parse(JSON.stringify(draft.remains.records).replaceAll(from, to));
}

describe("7: an old attempt's events change nothing", () => {
  test("an end that only a forged message explains is told, with the message", () => {
    const { invariants, words, sessions } = foundIn((draft) => {
      saidOf(draft, "moved", "agent_ended").forgery = "old_attempt";
    });
    expect(invariants).toEqual([7]);
    expect(words).toMatch(/only message \d+, which is forged \(old_attempt: .*makes moved#2 ended/);
    expect(sessions).toEqual(["moved"]);
  });

  test("a change that nothing explains is told", () => {
    const { invariants, words } = foundIn((draft) => {
      draft.said = without(draft.said, (each) => each === saidOf(draft, "moved", "agent_lost"));
    });
    expect(invariants).toEqual([7]);
    expect(words).toContain("nothing that was said makes moved#2 requested");
  });

  test("a genuine message that is only repeated goes on explaining", () => {
    const { invariants } = foundIn((draft) => {
      const lost = saidOf(draft, "moved", "agent_lost");
      draft.said.push({ ...lost, sequence: 600, forgery: "late" });
    });
    expect(invariants).toEqual([]);
  });
});

describe("8: ready is the entrypoint's own word", () => {
  test("a ready without a line in its host's log is told", () => {
    const { invariants, words } = foundIn((draft) => {
      draft.logs = without(draft.logs, ({ line }) => line.session === "moved" && line.attempt === 2);
    });
    expect(invariants).toEqual([8]);
    expect(words).toMatch(/moved#2 is ready \(revision \d+\), and no host's log has its entrypoint's word/);
  });

  test("so is one before the line, and one as somebody else", () => {
    const early = foundIn((draft) => {
      draft.logs[0]!.atMs += 6000;
    });
    expect(early.invariants).toEqual([8]);
    expect(early.words).toContain("calm#1 was ready 6000 ms before its entrypoint said so");
    const other = foundIn((draft) => {
      draft.logs[0]!.line = { ...draft.logs[0]!.line, identity: "somebody" } as never;
    });
    expect(other.invariants).toEqual([8]);
  });
});

describe("9: nothing outlives its session", () => {
  test("a room that is there 31 s later is told; while LiveKit was away for 5 s of that, it isn't", () => {
    const keep = (draft: Draft) => {
      for (const { atMs, rooms } of draft.rooms)
        if (atMs >= 20_000 && atMs <= 51_000) rooms.push({ name: "standby-slot-1", participants: [] });
    };
    const { invariants, words } = foundIn(keep);
    expect(invariants).toEqual([9]);
    expect(words).toContain("the room standby-slot-1 is there at 51.0 s; calm was over at 20.0 s");
    const hindered = foundIn((draft) => {
      keep(draft);
      draft.faults.push({ kind: "kill -9 of LiveKit", target: "livekit", fromMs: 25_000, untilMs: 30_000 });
    });
    expect(hindered.invariants).toEqual([]);
  });

  test("a slot that goes on with an attempt that was followed by another is told", () => {
    const { invariants, words } = foundIn((draft) => {
      const slot = { id: "slot-2", state: "busy" as const, tenant: "t", session: "moved", attempt: 1 };
      for (const { atMs, host } of draft.hosts)
        if (host.id === "h1" && atMs >= 30_000 && atMs < 62_000) host.stages[0]!.slots.push(slot);
    });
    expect(invariants).toEqual([9]);
    expect(words).toContain("slot slot-2 of h1 is busy with moved#1");
  });

  test.each([
    ["a room", (draft: Draft) => draft.remains.rooms.push("session-moved"), "the room session-moved"],
    [
      "a standby room without its slot",
      (draft: Draft) => draft.remains.rooms.push("standby-none"),
      "standby-none",
    ],
    ["a process", (draft: Draft) => draft.remains.strayProcesses.push("process 7 (stage)"), "process 7"],
    [
      "what was said",
      (draft: Draft) => draft.remains.conversations.push("t.calm"),
      "what was said in t.calm",
    ],
    [
      "a busy slot",
      (draft: Draft) =>
        draft.remains.hosts[0]!.stages[0]!.slots.push({
          id: "slot-8",
          state: "busy",
          tenant: "t",
          session: "calm",
          attempt: 1,
        }),
      "slot slot-8 of h1, serving calm#1, is left in the end",
    ],
  ])("%s that is left in the end is told", (_, spoil, words) => {
    const found = foundIn((draft) => void spoil(draft));
    expect(found.invariants).toEqual([9]);
    expect(found.words).toContain(words);
  });
});

describe("10: one key, one session", () => {
  test.each([
    [
      "a key that was given two sessions",
      ({ asked }: Draft) => {
        const own = asked.find(({ sessionId }) => sessionId === "calm")!;
        asked.push({ ...own, sessionId: "moved" });
      },
    ],
    [
      "a key that was accepted with other words",
      ({ asked }: Draft) => {
        asked.push({ ...asked[0]!, words: "other" });
      },
    ],
    [
      "a session with two requests",
      (draft: Draft) => {
        const said = saidOf(draft, "calm", "requested");
        draft.said.push({ ...said, sequence: 700, event: { ...said.event!, at: "later" } } as never);
      },
    ],
  ])("%s is told", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([10]);
  });
});

describe("11: nobody sees another's", () => {
  test("a canary in somebody else's answer is told", () => {
    const { invariants, words } = foundIn(({ looked }) => {
      looked[0]!.text += " canary-moved";
    });
    expect(invariants).toEqual([11]);
    expect(words).toContain("canary-calm reads canary-moved in /api/session/calm");
  });

  test("a canary in another session's record is told", () => {
    const { invariants } = foundIn((draft) => {
      for (const { record } of writesOf(draft, "late")) record!.user.name = "canary-calm";
      standing(draft, "late").user.name = "canary-calm";
      (saidOf(draft, "late", "requested").event as { user: { name: string } }).user.name = "canary-calm";
    });
    expect(invariants).toEqual([11]);
  });
});

describe("12: roll-ups are what the records give", () => {
  test.each([
    [
      "a session that is counted twice",
      (draft: Draft) => void Object.assign(draft.remains.rollups[0]!, { sessions: 9 }),
    ],
    ["a roll-up that is missing", (draft: Draft) => void draft.remains.rollups.pop()],
    [
      "a reason that is wrong",
      (draft: Draft) => void Object.assign(draft.remains.rollups[0]!, { byReason: { idle: 1 } }),
    ],
  ])("%s is told", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([12]);
  });

  test("the order of its counts says nothing", () => {
    const { invariants } = foundIn(({ remains }) => {
      for (const rollup of remains.rollups)
        rollup.byWarmth = Object.fromEntries(Object.entries(rollup.byWarmth).reverse());
    });
    expect(invariants).toEqual([]);
  });
});

describe("13: nothing is stuck", () => {
  test.each([
    [
      "a message that isn't settled",
      (draft: Draft) => void Object.assign(draft.remains.consumers[0]!, { ackPending: 1 }),
    ],
    ["nonsense without a dead letter", (draft: Draft) => void draft.remains.deadLetters.pop()],
    [
      "a good message among the dead letters",
      (draft: Draft) => {
        draft.remains.deadLetters.push({ ...draft.remains.deadLetters[0]!, sequence: 1 });
      },
    ],
    [
      "a message that is buried twice",
      (draft: Draft) => {
        draft.remains.deadLetters.push({ ...draft.remains.deadLetters[0]! });
      },
    ],
    [
      "nonsense that the product itself said",
      (draft: Draft) => {
        delete draft.said.find(({ forgery }) => forgery === "nonsense")!.forgery;
      },
    ],
  ])("%s is told", (_, spoil) => {
    expect(foundIn(spoil).invariants).toEqual([13]);
  });
});

describe("14: no limit passes early", () => {
  test("an overdue that is said too soon is told, with the limit", () => {
    const { invariants, words } = foundIn((draft) => {
      saidOf(draft, "slow", "overdue").storedAtMs = 55_060;
    });
    expect(invariants).toEqual([14]);
    expect(words).toMatch(/slow#2 is overdue \(join\) when it had been dispatched for 3000 of 10000 ms/);
  });
});
