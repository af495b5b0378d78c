// Bounds of a session record: the length of its history, and the sessions that may use a hot agent.
import { describe, expect, test } from "vitest";
import { mayUseHot, newSession, reduceSession } from "../../../../../libs/domain/session/reduce.ts";
import {
  chosen,
  dispatched,
  lost,
  ready,
  requested,
  unanswered,
} from "../../../../kit/fixtures/session-moves.ts";
import { AT, anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";

describe("a session record", () => {
  test("keeps the first and the newest entries of its history, and cuts a long reason", () => {
    let record = requested();
    for (let index = 0; index < 50; index++) {
      record = reduceSession(chosen(record, `h${index}`), {
        type: "declined",
        attempt: record.attempt,
        host: `h${index}`,
        reason: "x".repeat(5000),
        at: AT,
      });
    }
    expect(record.history).toHaveLength(30);
    expect(record.history[0]).toEqual({ state: "requested", at: AT, attempt: 1 });
    expect(record.history.at(-1)).toMatchObject({ state: "requested", attempt: 51 });
    expect(record.history.at(-1)?.reason).toHaveLength(240);
    expect(record.history.at(-1)?.reason).toMatch(/x…$/);
  });

  test("allows a hot agent only before anybody is in the room, and without a named room", () => {
    expect(mayUseHot(requested())).toBe(true);
    expect(mayUseHot(newSession(anEvent("s", { room: "mine" }), defaults))).toBe(false);
    expect(mayUseHot(lost(ready(dispatched())))).toBe(false);
    expect(mayUseHot(unanswered(dispatched()))).toBe(true);
  });
});
