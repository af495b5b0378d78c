// The checks of agents and rooms in a chaos run, each against a planted defect: 5, 6 and 9.
import { describe, expect, test } from "vitest";
import type { Draft } from "../../../../kit/fixtures/chaos-story.ts";
import { foundIn } from "../../../../kit/fixtures/spoilt-run.ts";

describe("5 and 6: one agent", () => {
  test("reports a slot that serves a second session", () => {
    const { invariants, message } = foundIn((draft) => {
      const slot = slotsOf(draft, "slow").at(-1)!;
      for (const each of slotsOf(draft, "slow")) each.id = "slot-1";
      expect(slot.id).toBe("slot-1");
    });
    expect(invariants).toEqual([5]);
    expect(message).toMatch(/slot slot-1 of h1 serves slow#3 at .* and calm#1 at/);
  });

  test("reports two live agents in a room for more than 3 s, unless a fault explains them", () => {
    const wake = (draft: Draft, untilMs: number) => {
      for (const { atMs, rooms } of draft.rooms)
        for (const { name, participants } of rooms)
          if (name === "session-moved" && atMs < untilMs)
            for (const one of participants) if (one.answers === false) one.answers = true;
    };
    expect(foundIn((draft) => wake(draft, 33_000)).invariants).toEqual([]);
    const { invariants, message } = foundIn((draft) => wake(draft, 36_000));
    expect(invariants).toEqual([6]);
    expect(message).toMatch(
      /moved#1 \(agent-moved-1\) and moved#2 \(agent-moved-2\) share session-moved for 5\.5 s/,
    );
    const hindered = foundIn((draft) => {
      wake(draft, 36_000);
      draft.faults.push({ kind: "SIGSTOP of LiveKit", target: "livekit", fromMs: 29_000, untilMs: 29_500 });
    });
    expect(hindered.invariants).toEqual([]);
  });

  test("reports an identity that two attempts have", () => {
    const { invariants, message } = foundIn((draft) => {
      renameEverywhere(draft, "agent-moved-2", "agent-moved-1");
    });
    expect(invariants).toEqual([6]);
    expect(message).toContain("agent-moved-1 is the agent of moved#1 and of moved#2");
  });

  test("reports an attempt that runs in two slots", () => {
    const { invariants } = foundIn((draft) => {
      const [first] = slotsOf(draft, "late");
      first!.id = "slot-9";
    });
    expect(invariants).toEqual([6]);
  });
});

describe("9: nothing outlives its session", () => {
  test("reports a room that exists 31 s later, unless LiveKit was unavailable for 5 s of that", () => {
    const keep = (draft: Draft) => {
      for (const { atMs, rooms } of draft.rooms)
        if (atMs >= 20_000 && atMs <= 51_000) rooms.push({ name: "standby-slot-1", participants: [] });
    };
    const { invariants, message } = foundIn(keep);
    expect(invariants).toEqual([9]);
    expect(message).toContain("the room standby-slot-1 exists at 51.0 s; calm was over at 20.0 s");
    const hindered = foundIn((draft) => {
      keep(draft);
      draft.faults.push({ kind: "kill -9 of LiveKit", target: "livekit", fromMs: 25_000, untilMs: 30_000 });
    });
    expect(hindered.invariants).toEqual([]);
  });

  test("doesn't report a room that a person has not left", () => {
    const user = { identity: "user", isAgent: false, attributes: {}, joinedAtMs: 1 };
    const { invariants } = foundIn((draft) => {
      for (const { atMs, rooms } of draft.rooms)
        if (atMs >= 20_000 && atMs <= 51_000) rooms.push({ name: "standby-slot-1", participants: [user] });
    });
    expect(invariants).toEqual([]);
  });

  test("reports a slot that goes on with a replaced attempt", () => {
    const { invariants, message } = foundIn((draft) => {
      const slot = { id: "slot-2", state: "busy" as const, tenant: "t", sessionId: "moved", attempt: 1 };
      for (const { atMs, host } of draft.hosts)
        if (host.hostId === "h1" && atMs >= 30_000 && atMs < 62_000) host.processes[0]!.slots.push(slot);
    });
    expect(invariants).toEqual([9]);
    expect(message).toContain("slot slot-2 of h1 is busy with moved#1");
  });

  test.each([
    ["a room", (draft: Draft) => draft.remains.rooms.push("session-moved"), "the room session-moved"],
    [
      "a standby room without its slot",
      (draft: Draft) => draft.remains.rooms.push("standby-none"),
      "standby-none",
    ],
    ["a process", (draft: Draft) => draft.remains.strayProcesses.push("process 7 (agent)"), "process 7"],
    [
      "a conversation",
      (draft: Draft) => draft.remains.conversations.push("t.calm"),
      "the conversation of t.calm",
    ],
    [
      "a busy slot",
      (draft: Draft) =>
        draft.remains.hosts[0]!.processes[0]!.slots.push({
          id: "slot-8",
          state: "busy",
          tenant: "t",
          sessionId: "calm",
          attempt: 1,
        }),
      "slot slot-8 of h1, serving calm#1, is left at the end",
    ],
  ])("reports %s that is left at the end", (_, spoil, expected) => {
    const found = foundIn((draft) => void spoil(draft));
    expect(found.invariants).toEqual([9]);
    expect(found.message).toContain(expected);
  });
});

const slotsOf = (draft: Draft, sessionId: string) =>
  draft.hosts.flatMap(({ host }) =>
    host.processes.flatMap(({ slots }) => slots.filter((slot) => slot.sessionId === sessionId)),
  );

function renameEverywhere(draft: Draft, from: string, to: string): void {
  const renamed = JSON.parse(JSON.stringify(draft.written).replaceAll(from, to)) as Draft["written"];
  draft.written = renamed;
  draft.events = JSON.parse(JSON.stringify(draft.events).replaceAll(from, to)) as Draft["events"];
  draft.logs = JSON.parse(JSON.stringify(draft.logs).replaceAll(from, to)) as Draft["logs"];
  draft.remains.records = JSON.parse(JSON.stringify(draft.remains.records).replaceAll(from, to));
}
