// Migrated sessions, which keep their agent until the next one has joined.
import { describe, expect, test } from "vitest";
import type { SessionRecord } from "../../../../../libs/contracts/sessions/session.ts";
import { commandsFor } from "../../../../../libs/domain/session/commands-for.ts";
import { reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import { chosen, dispatched, fromHost, joined, lost, ready } from "../../../../kit/fixtures/session-moves.ts";

const migrated = (record: SessionRecord): SessionRecord =>
  reduceSession(record, fromHost(record, { type: "migrated", reason: "host h1 drains" }));
const actionsOf = (record: SessionRecord): string[] => commandsFor(record).map((command) => command.do);

describe("a migrated session", () => {
  const serving = () => ready(joined(dispatched()));

  test("waits for the next agent in its room, without a failure", () => {
    expect(migrated(serving())).toMatchObject({
      state: "requested",
      attempt: 2,
      failures: 0,
      recovering: true,
      backoffMs: 0,
      room: serving().room,
      avoid: ["h1"],
      previous: { attempt: 1, host: "h1", keepUntilReplaced: true },
    });
  });

  test("goes on even if all failures are used up", () => {
    const last = { ...serving(), failures: 2, maxAttempts: 3 };
    expect(migrated(last)).toMatchObject({ state: "requested", failures: 2 });
    expect(lost(last)).toMatchObject({ state: "ended", endedReason: "agent_lost" });
  });

  test("keeps its agent until the next one is in the room, and then releases it", () => {
    const waiting = migrated(serving());
    expect(actionsOf(waiting)).toEqual([]);
    const given = chosen(waiting, "h2");
    expect(actionsOf(given)).toEqual(["create_room", "assign"]);
    for (const there of [joined(given), ready(given), ready(joined(given))]) {
      expect(commandsFor(there)).toEqual([
        { do: "release", host: "h1", attempt: 1, reason: "the session goes on with another agent" },
        { do: "remove_participant", room: waiting.room, identity: "agent-s-1" },
      ]);
    }
  });

  test("releases its agent when it ends on the way", () => {
    const record = migrated(serving());
    const ended = reduceSession(record, {
      type: "end_requested",
      tenant: "t",
      sessionId: "s",
      at: "2026-01-01T00:00:00.000Z",
      endedReason: "completed",
      reason: "the user hung up",
    });
    expect(actionsOf(ended)).toEqual(["release", "remove_participant", "close_room"]);
  });

  test("starts again elsewhere, and releases its agent at once, if that was not ready", () => {
    for (const record of [dispatched(), joined(dispatched())]) {
      const next = migrated(record);
      expect(next).toMatchObject({ state: "requested", attempt: 2, failures: 0, recovering: false });
      expect(next.previous?.keepUntilReplaced).toBeUndefined();
      expect(actionsOf(next)).toContain("release");
    }
  });

  test("ignores the event of another host, epoch or attempt", () => {
    const record = serving();
    for (const foreign of [{ host: "h2" }, { epoch: 8 }, { attempt: 2 }]) {
      const migrations = { ...fromHost(record, { type: "migrated", reason: "x" }), ...foreign } as never;
      expect(reduceSession(record, migrations)).toBe(record);
    }
  });

  test("loses its kept agent when the next attempt fails", () => {
    const again = lost(chosen(migrated(serving()), "h2"));
    expect(again).toMatchObject({ state: "requested", attempt: 3, previous: { attempt: 2, host: "h2" } });
    expect(again.previous?.keepUntilReplaced).toBeUndefined();
  });
});
