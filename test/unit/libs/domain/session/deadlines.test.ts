// How long a session may stay in its states, by who gives its agent.
import { describe, expect, test } from "vitest";
import { newSession } from "../../../../../libs/domain/session/reduce.ts";
import { anEvent, defaults } from "../../../../kit/fixtures/sessions.ts";

describe("a session with a telephone call", () => {
  test("waits for a telephone to be answered for as long as one may ring", () => {
    const of = (provider: "sip" | "vapi" | "livekit", changed: Partial<typeof defaults.deadlineMs> = {}) =>
      newSession(anEvent("s", { provider }), {
        ...defaults,
        deadlineMs: { ...defaults.deadlineMs, ...changed },
      }).deadlineMs;
    // VAPI's agent is ready when somebody has answered.
    expect(of("vapi")).toEqual({ ...defaults.deadlineMs, dispatched: 180_000, joined: 180_000 });
    // By SIP the agent is ready first, and the callee is its user who comes late.
    expect(of("sip", { userAbsent: 20_000 })).toEqual({ ...defaults.deadlineMs, userAbsent: 180_000 });
    expect(of("sip", { userAbsent: 200_000 }).userAbsent).toBe(200_000);
    expect(of("livekit", { userAbsent: 20_000 }).userAbsent).toBe(20_000);
  });
});
