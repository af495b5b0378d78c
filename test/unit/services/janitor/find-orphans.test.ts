// Orphaned rooms and sessions.
import { describe, expect, test } from "vitest";
import { confirmOrphans, findOrphans } from "../../../../services/janitor/find-orphans.ts";
import { aHost, aSession } from "../../../kit/fixtures/sessions.ts";

describe("findOrphans and confirmOrphans", () => {
  test("finds a room of Greenroom without a live session", () => {
    const live = aSession("live", { state: "ready" });
    const over = aSession("over", { state: "ended", room: "named-by-a-client", roomIsNamed: true });
    const rooms = ["session-live", "session-gone", "named-by-a-client", "somebody-elses"];
    expect(findOrphans(rooms, [live, over], []).rooms).toEqual(["session-gone"]);
  });

  test("finds the room of a session that has just ended, unless another session uses it", () => {
    const named = { room: "lobby", roomIsNamed: true } as const;
    const over = aSession("over", { ...named, state: "ended" });
    expect(findOrphans(["lobby"], [over], []).rooms).toEqual([]);
    expect(findOrphans(["lobby"], [over], [], [over]).rooms).toEqual(["lobby"]);
    const next = aSession("next", { ...named, state: "ready" });
    expect(findOrphans(["lobby"], [over, next], [], [over]).rooms).toEqual([]);
  });

  test("finds a standby room whose slot no host has", () => {
    const slots = [{ id: "s1", state: "hot" as const }];
    const host = aHost("h", 1, { processes: [{ id: "process", profile: "echo", slots }] });
    expect(findOrphans(["standby-s1", "standby-s2"], [], [host]).rooms).toEqual(["standby-s2"]);
  });

  test("ignores a standby room that a session uses", () => {
    const record = aSession("a", { state: "ready", room: "standby-s1" });
    expect(findOrphans(["standby-s1"], [record], []).rooms).toEqual([]);
  });

  test("finds a ready session without a room, but none that is not ready yet", () => {
    const ready = aSession("r", { state: "ready" });
    const records = [ready, aSession("j", { state: "joined" }), aSession("e", { state: "ended" })];
    expect(findOrphans([], records, []).sessions).toEqual([ready]);
  });

  test("finds a session of LiveKit's dispatch without a room, but not one of VAPI, which never has a room", () => {
    const dispatched = aSession("d", { state: "ready", provider: "livekit" });
    const called = aSession("v", { state: "ready", provider: "vapi" });
    expect(findOrphans([], [dispatched, called], []).sessions).toEqual([dispatched]);
  });

  test("confirms only what was orphaned the time before too, in the same attempt", () => {
    const one = aSession("r", { state: "ready", attempt: 1 });
    const two = { ...one, attempt: 2 };
    expect(confirmOrphans(undefined, { rooms: ["x"], sessions: [one] })).toEqual({ rooms: [], sessions: [] });
    const both = confirmOrphans(
      { rooms: ["x", "y"], sessions: [one] },
      { rooms: ["y", "z"], sessions: [two] },
    );
    expect(both).toEqual({ rooms: ["y"], sessions: [] });
  });
});
