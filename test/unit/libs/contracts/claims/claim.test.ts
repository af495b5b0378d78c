// Handoffs, claims and their events: shapes, subjects and ids.
import { describe, expect, it, test } from "vitest";
import { claims } from "../../../../../libs/contracts/buckets.ts";
import {
  ClaimId,
  ClaimRecord,
  claimIdOf,
  HandoffEvent,
  HandoffRequested,
} from "../../../../../libs/contracts/claims/claim.ts";
import { SessionId } from "../../../../../libs/contracts/ids.ts";
import { handoffEvents, handoffRequests } from "../../../../../libs/contracts/streams.ts";
import { subjectMatches } from "../../../../simulation/nats/streams.ts";

const AT = "2026-01-01T00:00:00.000Z";
const base = { version: 1, at: AT, trace_id: "trace-1", tenant_id: "acme" } as const;
const ofSession = {
  ...base,
  session_id: "h_1",
  attempt: 1,
  agent_id: "support",
  room: "call-1",
  provider: "webhook",
} as const;
const ofClaim = { ...ofSession, dispatch_id: "h_1-1", dispatch_expires_at: AT };

const oneOfEach: HandoffEvent[] = [
  { ...ofClaim, type: "handoff_dispatched" },
  {
    ...base,
    type: "handoff_failed",
    session_id: "h_1",
    agent_id: "support",
    room: "call-1",
    reason: "unknown_profile",
    message: "m",
  },
  { version: 1, at: AT, type: "handoff_invalid_payload", sequence: 7, message: "m" },
  { ...ofClaim, type: "dispatch_claimed", claimed_by: "runner" },
  { ...ofClaim, type: "dispatch_claim_failed", reason: "expired", message: "m" },
  { ...ofSession, type: "agent_session_bootstrap_ready" },
  { ...ofClaim, type: "agent_session_launch_succeeded" },
  { ...ofClaim, type: "agent_session_launch_failed", reason: "agent_lost", message: "m", final: true },
];

describe("handoffEvents", () => {
  test("has an example of every type in this test", () => {
    const types = HandoffEvent.options.map((option) => option.shape.type.value);
    expect(oneOfEach.map(({ type }) => type).sort()).toEqual([...types].sort());
  });

  test.each(oneOfEach.map((event) => [event.type, event] as const))(
    "has shape and subject of %s, without a token",
    (type, event) => {
      expect(HandoffEvent.parse({ ...event, token: "eyJ", nonce: "n" })).toStrictEqual(event);
      expect(handoffEvents.subjectOf(event)).toBe(`runtime.${type}`);
      expect(subjectMatches(handoffEvents.subjects, handoffEvents.subjectOf(event))).toBe(true);
    },
  );

  test("has the same id for a repeated event, and different ids for different events", () => {
    for (const event of oneOfEach) {
      expect(handoffEvents.idOf({ ...event, at: "later" })).toBe(handoffEvents.idOf(event));
    }
    const all: HandoffEvent[] = [
      ...oneOfEach,
      { ...ofClaim, type: "handoff_dispatched", attempt: 2 },
      { ...ofClaim, type: "handoff_dispatched", session_id: "h_2" },
      { ...ofClaim, type: "handoff_dispatched", tenant_id: "other" },
      { ...ofClaim, type: "dispatch_claim_failed", reason: "used", message: "m" },
      { ...ofClaim, type: "dispatch_claim_failed", reason: "expired", message: "m", dispatch_id: "h_1-2" },
      { version: 1, at: AT, type: "handoff_invalid_payload", sequence: 8, message: "m" },
    ];
    expect(new Set(all.map((event) => handoffEvents.idOf(event))).size).toBe(all.length);
  });

  test("shares its stream with requests, which have one subject whatever they contain", () => {
    expect(handoffRequests.stream).toBe(handoffEvents.stream);
    expect(subjectMatches(handoffEvents.subjects, handoffRequests.subjects)).toBe(true);
    for (const request of [{ version: 1 }, { type: "handoff_failed" }, null, "text", 7, []]) {
      expect(handoffRequests.schema.safeParse(request).success).toBe(true);
      expect(handoffRequests.subjectOf(request)).toBe("runtime.handoff_requested");
    }
  });
});

describe("HandoffRequested", () => {
  const whole = {
    version: 1,
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    tenant_id: "acme",
    agent_id: "support-agent",
    room: "call 7/ä",
    call_id: "CA-1",
    metadata: { language: "de", nested: [1, null] },
  } as const;

  it("accepts a handoff with and without optional fields, and drops unknown ones", () => {
    const { call_id: _c, metadata: _m, ...least } = whole;
    expect(HandoffRequested.parse(whole)).toEqual(whole);
    expect(HandoffRequested.parse({ ...least, more: true })).toEqual(least);
  });

  test.each([
    ["another version", { version: 2 }],
    ["a version as a string", { version: "1" }],
    ["no trace", { trace_id: undefined }],
    ["an empty trace", { trace_id: "" }],
    ["a tenant with wildcards", { tenant_id: "acme.*" }],
    ["an invalid agent name", { agent_id: "a b" }],
    ["no room", { room: undefined }],
    ["a room with a line break", { room: "a\nb" }],
    ["a long room name", { room: "x".repeat(129) }],
    ["large metadata", { metadata: { a: "x".repeat(4100) } }],
    ["metadata as a string", { metadata: "x" }],
  ])("rejects %s", (_what, change) => {
    expect(HandoffRequested.safeParse({ ...whole, ...change }).success).toBe(false);
  });
});

describe("ClaimRecord", () => {
  const claim: ClaimRecord = {
    v: 1,
    claimId: claimIdOf({ sessionId: "h_1", attempt: 2 }),
    tenant: "acme",
    sessionId: "h_1",
    attempt: 2,
    provider: "webhook",
    profile: "support",
    room: "call-1",
    identity: "agent-h_1-2",
    traceId: "trace-1",
    state: "offered",
    expiresAt: AT,
    at: AT,
    writeId: "c:1",
  };

  it("has its tenant in its key, and no token", () => {
    expect(claims.keyOf(claim)).toBe("acme.h_1-2");
    expect(ClaimRecord.parse({ ...claim, token: "eyJ", nonce: "n" })).toStrictEqual(claim);
  });

  it("has its own id for each attempt of each session", () => {
    const ids = [
      claimIdOf({ sessionId: "a", attempt: 1 }),
      claimIdOf({ sessionId: "a", attempt: 11 }),
      claimIdOf({ sessionId: "a-1", attempt: 1 }),
      claimIdOf({ sessionId: "a-1-1", attempt: 1 }),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    expect(ClaimId.safeParse(claimIdOf({ sessionId: "x".repeat(64), attempt: 100 })).success).toBe(true);
    expect(SessionId.safeParse("x".repeat(64)).success).toBe(true);
  });
});
