// The expiry of claims, row by row.
import { describe, expect, test } from "vitest";
import type { ClaimRecord } from "../../../../../libs/contracts/claims/claim.ts";
import {
  type ClaimLimits,
  decideExpiry,
  endReason,
} from "../../../../../services/providers/claims/decide-expiry.ts";
import { AT, aSession } from "../../../../kit/fixtures/sessions.ts";

const limits: ClaimLimits = { claimMs: 1000, repeatMs: 300, keepMs: 5000 };
const aClaim = (changed: Partial<ClaimRecord> = {}): ClaimRecord => ({
  v: 1,
  claimId: "s-2",
  tenant: "t",
  sessionId: "s",
  attempt: 2,
  provider: "webhook",
  profile: "echo",
  room: "r",
  identity: "agent-s-2",
  traceId: "trace-1",
  state: "offered",
  expiresAt: AT,
  at: AT,
  writeId: "x:1",
  ...changed,
});
const running = aSession("s", { state: "dispatched", attempt: 2, host: "provider-webhook" });

describe("decideExpiry", () => {
  test.each<
    [string, ClaimRecord["state"], number, Parameters<typeof aSession>[1] | null, string | undefined]
  >([
    ["keeps a young offer", "offered", 999, {}, undefined],
    ["expires an offer that nobody claimed", "offered", 1000, {}, "expired"],
    ["expires an offer at once when its session has ended", "offered", 0, { state: "ended" }, "expired"],
    ["expires an offer at once when its session moved on", "offered", 0, { attempt: 3 }, "expired"],
    [
      "keeps an offer of an attempt that the session's record has not reached",
      "offered",
      0,
      { attempt: 1 },
      undefined,
    ],
    ["keeps an offer of a session that isn't known yet", "offered", 0, null, undefined],
    ["expires an offer whose session never appears", "offered", 5000, null, "expired"],
    ["keeps a claim that may be repeated", "claimed", 299, {}, undefined],
    ["marks a claim as used after the replay window", "claimed", 300, {}, "used"],
    ["marks a claim as used at once when its session has ended", "claimed", 0, { state: "ended" }, "used"],
    ["keeps a used claim while its attempt lasts", "used", 1e9, {}, undefined],
    [
      "keeps a used claim for the retention time after its session",
      "used",
      4999,
      { state: "ended" },
      undefined,
    ],
    ["deletes a used claim after the retention time", "used", 5000, { state: "ended" }, "removed"],
    ["keeps an expired claim while its attempt lasts", "expired", 1e9, {}, undefined],
    ["deletes an expired claim after its attempt", "expired", 5000, { attempt: 3 }, "removed"],
  ])("%s", (_title, state, ageMs, session, become) => {
    const record = session === null ? undefined : { ...running, ...session };
    const reason = endReason(aClaim(), record, ageMs >= limits.keepMs);
    const age = { ageMs, ...(reason === undefined ? {} : { over: { reason, forMs: ageMs } }) };
    expect(decideExpiry(aClaim({ state }), age, limits)?.become).toBe(become);
  });
});
