// The decision about a handoff: request a session, refuse, or report an invalid message.
import { describe, expect, it, test } from "vitest";
import {
  decideHandoff,
  type HandoffFacts,
  sessionIdOf,
} from "../../../../services/handoffs/decide-handoff.ts";
import { AT } from "../../../kit/fixtures/sessions.ts";
import { aHandoff } from "../../../kit/worlds/handoff-world.ts";

const facts: HandoffFacts = { providerOf: () => "webhook", sessionIn: () => undefined, at: AT };

describe("decideHandoff", () => {
  it("requests a session in the handoff's room, with its agent and its call", () => {
    const decision = decideHandoff(aHandoff(), facts);
    expect(decision).toMatchObject({
      do: "request",
      requested: {
        tenant: "acme",
        profile: "support",
        room: "call-1",
        provider: "webhook",
        user: { id: "CA-1" },
        metadata: { language: "de", handoff: { trace_id: "trace-1", call_id: "CA-1" } },
      },
    });
  });

  it("requests a session of the pool where its agent has no provider", () => {
    const decision = decideHandoff(aHandoff(), { ...facts, providerOf: () => "pool" });
    expect(decision.do === "request" && "provider" in decision.requested).toBe(false);
  });

  it("returns the same session for a repeated handoff, and different ones otherwise", () => {
    const idOf = (changed: Record<string, unknown> = {}) => {
      const decision = decideHandoff(aHandoff(changed), facts);
      if (decision.do !== "request") throw new Error(JSON.stringify(decision));
      return decision.requested.sessionId;
    };
    expect(idOf()).toMatch(/^h_[A-Za-z0-9_]{22}$/);
    expect([idOf(), idOf({ metadata: {} }), idOf({ call_id: undefined }), idOf({ more: 1 })]).toEqual(
      Array(4).fill(idOf()),
    );
    const others = [
      { trace_id: "trace-2" },
      { tenant_id: "other" },
      { agent_id: "sales" },
      { room: "call-2" },
    ].map(idOf);
    expect(new Set([idOf(), ...others]).size).toBe(5);
  });

  test.each<[string, unknown, RegExp]>([
    ["no object", "call me", /object/],
    ["nothing", null, /object/],
    ["another version", aHandoff({ version: 2 }), /version/],
    ["no room", aHandoff({ room: undefined }), /room/],
    ["a reserved room", aHandoff({ room: "standby-1" }), /Greenroom's own rooms/],
    ["metadata that leaves no space for the call", aHandoff({ metadata: { a: "x".repeat(4060) } }), /4,096/],
    ["many faults", {}, /version.*trace_id.*tenant_id/s],
  ])("reports a handoff as invalid: %s", (_fault, message, fault) => {
    expect(decideHandoff(message, facts)).toMatchObject({
      do: "report_invalid",
      message: expect.stringMatching(fault),
    });
  });

  it("reports an invalid handoff with its trace and tenant, where those are readable", () => {
    expect(decideHandoff(aHandoff({ room: 7 }), facts)).toMatchObject({ traceId: "trace-1", tenant: "acme" });
    expect(decideHandoff(aHandoff({ room: 7, tenant_id: "a.*", trace_id: "" }), facts)).toMatchObject({
      traceId: undefined,
      tenant: undefined,
    });
  });

  it("refuses a handoff for an unknown agent, or for a room of another session", () => {
    expect(decideHandoff(aHandoff(), { ...facts, providerOf: () => undefined })).toMatchObject({
      do: "refuse",
      reason: "unknown_agent",
      message: expect.stringContaining('"support"'),
    });
    expect(decideHandoff(aHandoff(), { ...facts, sessionIn: () => "s_other" })).toMatchObject({
      do: "refuse",
      reason: "room_taken",
      message: expect.stringContaining("s_other"),
    });
    const own = sessionIdOf(aHandoff() as never);
    expect(decideHandoff(aHandoff(), { ...facts, sessionIn: () => own }).do).toBe("request");
  });
});
