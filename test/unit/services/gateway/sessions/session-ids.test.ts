// Ids of sessions.
import { describe, expect, it } from "vitest";
import {
  randomSessionId,
  sessionIdOfKey,
  sessionIdOfRoom,
} from "../../../../../services/gateway/sessions/session-ids.ts";

describe("sessionIdOfKey, sessionIdOfRoom and randomSessionId", () => {
  it("returns the same id for the same key or room, and otherwise different ones", () => {
    expect(sessionIdOfKey("t", "k")).toBe(sessionIdOfKey("t", "k"));
    const ids = [
      sessionIdOfKey("t", "k"),
      sessionIdOfKey("t2", "k"),
      sessionIdOfKey("t", "k2"),
      sessionIdOfKey("tk", ""),
      sessionIdOfRoom("t", "k", 0),
      sessionIdOfRoom("t", "k", 1),
      randomSessionId(),
      randomSessionId(),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^s_[0-9A-Za-z]{22}$/);
  });
});
