// Deadlines of sessions, depending on the provider of their agent.
import { describe, expect, test } from "vitest";
import { newSession } from "../../../../../libs/domain/session/reduce.ts";
import { anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";

describe("newSession with a phone call", () => {
  test("waits for an answer as long as a phone may ring", () => {
    const of = (provider: "sip" | "vapi" | "livekit", changed: Partial<typeof defaults.deadlineMs> = {}) =>
      newSession(anEvent("s", { provider }), {
        ...defaults,
        deadlineMs: { ...defaults.deadlineMs, ...changed },
      }).deadlineMs;
    // VAPI's agent is ready after the answer.
    expect(of("vapi")).toEqual({ ...defaults.deadlineMs, dispatched: 180_000, joined: 180_000 });
    // With SIP the agent is ready first, and the callee is a user who joins late.
    expect(of("sip", { userAbsent: 20_000 })).toEqual({ ...defaults.deadlineMs, userAbsent: 180_000 });
    expect(of("sip", { userAbsent: 200_000 }).userAbsent).toBe(200_000);
    expect(of("livekit", { userAbsent: 20_000 }).userAbsent).toBe(20_000);
  });
});
