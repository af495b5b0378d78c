// Commands for each state of a record, in order.
import { describe, expect, test } from "vitest";
import type { PreviousAttempt, SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { commandsFor } from "../../../../../libs/domain/session/commands-for.ts";
import { aSession } from "../../../../kit/fixtures/sessions.ts";

const given: Partial<SessionRecord> = {
  state: "dispatched",
  attempt: 2,
  host: "h2",
  hostEpoch: 9,
  requestedWarmth: "warm",
};
const previous: PreviousAttempt = {
  attempt: 1,
  host: "h1",
  hostEpoch: 7,
  room: "session-s",
  identity: "agent-s-1",
};
const releasePrevious = {
  do: "release",
  host: "h1",
  attempt: 1,
  reason: "the session goes on with another agent",
};

const commands = (changed: Partial<SessionRecord>) => commandsFor(aSession("s", changed));

describe("commandsFor a requested session", () => {
  test("returns nothing", () => {
    expect(commands({})).toEqual([]);
  });

  test("evicts a previous agent from the room, then releases it at its host", () => {
    expect(commands({ attempt: 2, previous: previous })).toEqual([
      { do: "remove_participant", room: "session-s", identity: "agent-s-1" },
      releasePrevious,
    ]);
  });

  test("deletes the room of a previous agent if it isn't the session's own", () => {
    expect(commands({ attempt: 2, previous: { ...previous, room: "standby-x" } })).toEqual([
      releasePrevious,
      { do: "delete_room", room: "standby-x" },
    ]);
  });
});

describe("commandsFor a dispatched session", () => {
  test("creates the room before it assigns the agent", () => {
    expect(commands(given)).toEqual([
      { do: "create_room", room: "session-s" },
      {
        do: "assign",
        host: "h2",
        epoch: 9,
        attempt: 2,
        requestedWarmth: "warm",
        identity: "agent-s-2",
        room: "session-s",
      },
    ]);
  });

  test("deletes the previous agent's room when a hot agent brings another", () => {
    expect(commands({ ...given, requestedWarmth: "hot", previous: previous })).toContainEqual({
      do: "delete_room",
      room: "session-s",
    });
    expect(commands({ ...given, previous: previous })).not.toContainEqual({
      do: "delete_room",
      room: "session-s",
    });
  });

  test("creates no room when a hot agent brings its own", () => {
    expect(commands({ ...given, requestedWarmth: "hot" })).toEqual([
      { do: "assign", host: "h2", epoch: 9, attempt: 2, requestedWarmth: "hot", identity: "agent-s-2" },
    ]);
  });

  test("assigns the new agent first, and then removes the previous one", () => {
    expect(commands({ ...given, previous: previous }).map((command) => command.do)).toEqual([
      "create_room",
      "assign",
      "remove_participant",
      "release",
    ]);
  });

  test("never gives two attempts the same identity", () => {
    const identities = [1, 2, 3].map(
      (attempt) => commands({ ...given, attempt }).find((command) => command.do === "assign")?.identity,
    );
    expect(new Set(identities).size).toBe(3);
  });
});

test.each(["joined", "ready"] as const)("returns nothing for a session that is %s", (state) => {
  expect(commands({ ...given, state })).toEqual([]);
});

describe("commandsFor an ended session", () => {
  test("releases the agent and closes the room", () => {
    expect(commands({ ...given, state: "ended", endedReason: "idle" })).toEqual([
      { do: "release", host: "h2", attempt: 2, reason: "idle", untilLeft: true },
      { do: "close_room", room: "session-s", isOwn: true, identity: "agent-s-2" },
    ]);
  });

  test("closes the room of a session that never had an agent", () => {
    expect(commands({ state: "ended", endedReason: "no_capacity" })).toEqual([
      { do: "close_room", room: "session-s", isOwn: true },
    ]);
  });

  test("closes the room with a note of a failure, but not for an end of the user", () => {
    const over = (fault: "platform" | "customer") =>
      commands({ state: "ended", endedReason: "agent_lost", fault }).at(-1);
    expect(over("platform")).toMatchObject({ do: "close_room", hasFailed: true });
    expect(over("customer")).not.toHaveProperty("hasFailed");
  });

  test("leaves the room that a client named to its people", () => {
    const named = { room: "lobby", roomIsNamed: true, state: "ended", endedReason: "completed" } as const;
    expect(commands(named)).toEqual([{ do: "close_room", room: "lobby", isOwn: false }]);
  });

  test("deletes the room if the request asks for it", () => {
    const asked = { ...given, deleteRoom: true, state: "ended", endedReason: "completed" } as const;
    expect(commands(asked).at(-1)).toEqual({ do: "delete_room", room: "session-s" });
  });

  test("releases a previous agent and deletes its room", () => {
    const ended = { ...given, state: "ended", endedReason: "completed" } as const;
    expect(commands({ ...ended, previous: { ...previous, room: "standby-x" } })).toEqual([
      releasePrevious,
      { do: "delete_room", room: "standby-x" },
      { do: "release", host: "h2", attempt: 2, reason: "completed", untilLeft: true },
      { do: "close_room", room: "session-s", isOwn: true, identity: "agent-s-2" },
    ]);
  });
});

test("returns the same commands each time, and does not change the record", () => {
  const record = Object.freeze(aSession("s", { ...given, previous: previous }));
  expect(commandsFor(record)).toEqual(commandsFor(record));
});
