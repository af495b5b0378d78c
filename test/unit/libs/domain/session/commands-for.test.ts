// What a record calls for, in each state and in which order.
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
const former: PreviousAttempt = {
  attempt: 1,
  host: "h1",
  hostEpoch: 7,
  room: "session-s",
  identity: "agent-s-1",
};
const releaseFormer = {
  do: "release",
  host: "h1",
  attempt: 1,
  reason: "the session goes on with another agent",
};

const commands = (changed: Partial<SessionRecord>) => commandsFor(aSession("s", changed));

describe("a session that waits", () => {
  test("calls for nothing", () => {
    expect(commands({})).toEqual([]);
  });

  test("puts a former agent out of the room, and then tells its host", () => {
    expect(commands({ attempt: 2, previous: former })).toEqual([
      { do: "remove_participant", room: "session-s", identity: "agent-s-1" },
      releaseFormer,
    ]);
  });

  test("deletes the room of a former agent when it is not the session's own", () => {
    expect(commands({ attempt: 2, previous: { ...former, room: "standby-x" } })).toEqual([
      releaseFormer,
      { do: "delete_room", room: "standby-x" },
    ]);
  });
});

describe("a session that was given to a host", () => {
  test("has its room created before the agent is sent there", () => {
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

  test("deletes the room that was made for a former agent when a hot one brings another", () => {
    expect(commands({ ...given, requestedWarmth: "hot", previous: former })).toContainEqual({
      do: "delete_room",
      room: "session-s",
    });
    expect(commands({ ...given, previous: former })).not.toContainEqual({
      do: "delete_room",
      room: "session-s",
    });
  });

  test("needs no room when a hot agent brings its own", () => {
    expect(commands({ ...given, requestedWarmth: "hot" })).toEqual([
      { do: "assign", host: "h2", epoch: 9, attempt: 2, requestedWarmth: "hot", identity: "agent-s-2" },
    ]);
  });

  test("sends the new agent first and removes the former one then", () => {
    expect(commands({ ...given, previous: former }).map((command) => command.do)).toEqual([
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

test.each(["joined", "ready"] as const)("a session that is %s calls for nothing", (state) => {
  expect(commands({ ...given, state })).toEqual([]);
});

describe("a session that ended", () => {
  test("releases its agent and deletes its room", () => {
    expect(commands({ ...given, state: "ended", endedReason: "idle" })).toEqual([
      { do: "release", host: "h2", attempt: 2, reason: "idle", untilLeft: true },
      { do: "delete_room", room: "session-s" },
    ]);
  });

  test("deletes its room also when it never had an agent", () => {
    expect(commands({ state: "ended", endedReason: "no_capacity" })).toEqual([
      { do: "delete_room", room: "session-s" },
    ]);
  });

  test("leaves no former agent behind, and no room of one", () => {
    const ended = { ...given, state: "ended", endedReason: "completed" } as const;
    expect(commands({ ...ended, previous: { ...former, room: "standby-x" } })).toEqual([
      releaseFormer,
      { do: "delete_room", room: "standby-x" },
      { do: "release", host: "h2", attempt: 2, reason: "completed", untilLeft: true },
      { do: "delete_room", room: "session-s" },
    ]);
  });
});

test("the same record calls for the same commands each time, and is not changed by it", () => {
  const record = Object.freeze(aSession("s", { ...given, previous: former }));
  expect(commandsFor(record)).toEqual(commandsFor(record));
});
