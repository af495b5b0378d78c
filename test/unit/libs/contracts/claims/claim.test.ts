// Handoffs, dispatches and what is told of them: their shapes, subjects and ids.
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
const told = { version: 1, at: AT, trace_id: "trace-1", tenant_id: "acme" } as const;
const ofSession = {
  ...told,
  session_id: "h_1",
  attempt: 1,
  agent_id: "support",
  room: "call-1",
  provider: "webhook",
} as const;
const ofDispatch = { ...ofSession, dispatch_id: "h_1-1", dispatch_expires_at: AT };

const oneOfEach: HandoffEvent[] = [
  { ...ofDispatch, type: "handoff_dispatched" },
  {
    ...told,
    type: "handoff_failed",
    session_id: "h_1",
    agent_id: "support",
    room: "call-1",
    reason: "unknown_profile",
    message: "m",
  },
  { version: 1, at: AT, type: "handoff_invalid_payload", sequence: 7, message: "m" },
  { ...ofDispatch, type: "dispatch_claimed", claimed_by: "runner" },
  { ...ofDispatch, type: "dispatch_claim_failed", reason: "expired", message: "m" },
  { ...ofSession, type: "agent_session_bootstrap_ready" },
  { ...ofDispatch, type: "agent_session_launch_succeeded" },
  { ...ofDispatch, type: "agent_session_launch_failed", reason: "agent_lost", message: "m", final: true },
];

describe("what is told on runtime.>", () => {
  test("there is an example of every type here", () => {
    const types = HandoffEvent.options.map((option) => option.shape.type.value);
    expect(oneOfEach.map(({ type }) => type).sort()).toEqual([...types].sort());
  });

  test.each(oneOfEach.map((event) => [event.type, event] as const))(
    "%s is of its shape, on its subject, and has no room for a token",
    (type, event) => {
      expect(HandoffEvent.parse({ ...event, token: "eyJ", nonce: "n" })).toStrictEqual(event);
      expect(handoffEvents.subjectOf(event)).toBe(`runtime.${type}`);
      expect(subjectMatches(handoffEvents.subjects, handoffEvents.subjectOf(event))).toBe(true);
    },
  );

  test("the same thing told twice has one id, and different things have different ones", () => {
    for (const event of oneOfEach) {
      expect(handoffEvents.idOf({ ...event, at: "later" })).toBe(handoffEvents.idOf(event));
    }
    const all: HandoffEvent[] = [
      ...oneOfEach,
      { ...ofDispatch, type: "handoff_dispatched", attempt: 2 },
      { ...ofDispatch, type: "handoff_dispatched", session_id: "h_2" },
      { ...ofDispatch, type: "handoff_dispatched", tenant_id: "other" },
      { ...ofDispatch, type: "dispatch_claim_failed", reason: "used", message: "m" },
      { ...ofDispatch, type: "dispatch_claim_failed", reason: "expired", message: "m", dispatch_id: "h_1-2" },
      { version: 1, at: AT, type: "handoff_invalid_payload", sequence: 8, message: "m" },
    ];
    expect(new Set(all.map((event) => handoffEvents.idOf(event))).size).toBe(all.length);
  });

  test("requests come on one subject of the same stream, whatever is in them", () => {
    expect(handoffRequests.stream).toBe(handoffEvents.stream);
    expect(subjectMatches(handoffEvents.subjects, handoffRequests.subjects)).toBe(true);
    for (const request of [{ version: 1 }, { type: "handoff_failed" }, null, "text", 7, []]) {
      expect(handoffRequests.schema.safeParse(request).success).toBe(true);
      expect(handoffRequests.subjectOf(request)).toBe("runtime.handoff_requested");
    }
  });
});

describe("a handoff", () => {
  const whole = {
    version: 1,
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    tenant_id: "acme",
    agent_id: "support-agent",
    room: "call 7/ä",
    call_id: "CA-1",
    metadata: { language: "de", nested: [1, null] },
  } as const;

  it("is taken with and without its optional parts; what it holds besides is ignored", () => {
    const { call_id: _c, metadata: _m, ...least } = whole;
    expect(HandoffRequested.parse(whole)).toEqual(whole);
    expect(HandoffRequested.parse({ ...least, more: true })).toEqual(least);
  });

  test.each([
    ["another version", { version: 2 }],
    ["a version in words", { version: "1" }],
    ["no trace", { trace_id: undefined }],
    ["an empty trace", { trace_id: "" }],
    ["a tenant that reaches into others", { tenant_id: "acme.*" }],
    ["an agent that is no name", { agent_id: "a b" }],
    ["no room", { room: undefined }],
    ["a room with a line break", { room: "a\nb" }],
    ["a room of a page", { room: "x".repeat(129) }],
    ["metadata that are too large", { metadata: { a: "x".repeat(4100) } }],
    ["metadata that are a text", { metadata: "x" }],
  ])("is refused: %s", (_what, change) => {
    expect(HandoffRequested.safeParse({ ...whole, ...change }).success).toBe(false);
  });
});

describe("a dispatch", () => {
  const dispatch: ClaimRecord = {
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

  it("stands under its tenant's key, and has no room for a token", () => {
    expect(claims.keyOf(dispatch)).toBe("acme.h_1-2");
    expect(ClaimRecord.parse({ ...dispatch, token: "eyJ", nonce: "n" })).toStrictEqual(dispatch);
  });

  it("has an id of its own for each attempt of each session", () => {
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
