// What VAPI's words for a call mean: the table of its statuses and reasons, row by row.
import { describe, expect, test } from "vitest";
import { callStatusOfSipCode } from "../../../../../services/providers/drivers/sip-status.ts";
import {
  callNameOf,
  endFromHere,
  endingOf,
  observationOf,
  type VapiCall,
} from "../../../../../services/providers/drivers/vapi-status.ts";

const call = (changed: Partial<VapiCall>): VapiCall => ({ id: "c", ...changed });
const ended = (endedReason: string, changed: Partial<VapiCall> = {}) =>
  observationOf(call({ status: "ended", endedReason, ...changed }), false);

describe("a call on its way", () => {
  test.each([
    ["scheduled", "launched", "dialing"],
    ["queued", "launched", "dialing"],
    ["ringing", "joined", "ringing"],
    ["in-progress", "ready", "answered"],
    ["forwarding", "ready", "answered"],
    ["a status of next year", "launched", "dialing"],
    [undefined, "launched", "dialing"],
  ])("that is %s counts as %s, and its telephone as %s", (status, is, progress) => {
    expect(observationOf({ id: "c", ...(status === undefined ? {} : { status }) }, false)).toEqual({
      is,
      externalId: "c",
      call: { status: progress },
    });
  });
});

describe("the end of a call", () => {
  test.each([
    ["customer-busy", "busy"],
    ["customer-did-not-answer", "noAnswer"],
    ["voicemail", "voicemail"],
    ["customer-ended-call", "hungUp"],
    ["customer-ended-call-during-transfer", "hungUp"],
    ["assistant-ended-call", "hungUp"],
    ["assistant-said-end-call-phrase", "hungUp"],
    ["assistant-forwarded-call", "hungUp"],
    ["silence-timed-out", "hungUp"],
    ["exceeded-max-duration", "hungUp"],
    ["call.in-progress.twilio-completed-call", "hungUp"],
  ])("by %s leaves it %s, and nothing failed", (reason, status) => {
    const found = ended(reason);
    expect(found).toMatchObject({ is: "ended", call: { status, providerReason: reason } });
    expect(found).not.toHaveProperty("error");
  });

  test.each([
    ["twilio-failed-to-connect-call", "failed"],
    ["vonage-rejected", "failed"],
    ["call.in-progress.error-sip-outbound-call-failed-to-connect", "failed"],
    ["call.in-progress.error-vapifault-transport-never-connected", "failed"],
    ["call.in-progress.error-vapifault-worker-died", "failed"],
    ["call.start.error-subscription-concurrency-limit-reached", "failed"],
    ["call.start.error-subscription-insufficient-credits", "failed"],
    ["call.start.error-get-phone-number", "failed"],
    ["call-start-error-neither-assistant-nor-server-set", "failed"],
    ["assistant-not-found", "failed"],
    ["assistant-request-returned-error", "failed"],
    ["twilio-reported-customer-misdialed", "failed"],
    ["manually-canceled", "unknown"],
    ["scheduled-call-deleted", "unknown"],
    ["a reason of next year", "unknown"],
    ["toString", "unknown"],
  ])("by %s before any answer leaves it %s, and the session at its end", (reason, status) => {
    const found = ended(reason);
    expect(found).toMatchObject({ is: "ended", call: { status }, cause: "provider", retryable: false });
    expect("error" in found ? found.error : "").toContain(reason);
  });

  test.each([
    "assistant-not-found",
    "assistant-not-valid",
    "twilio-reported-customer-misdialed",
    "call.start.error-vapi-number-international",
    "call.start.error-vapi-number-outbound-daily-limit",
    "call.start.error-get-assistant",
    "call.start.error-get-phone-number",
    "call.start.error-get-resources-validation",
    "call.start.error-fraud-check-failed",
    "call.start.error-subscription-frozen",
    "call.start.error-subscription-insufficient-credits",
    "call.start.error-enterprise-feature-not-available-recording-consent",
    "call-start-error-neither-assistant-nor-server-set",
    "call.in-progress.error-providerfault-outbound-sip-403-forbidden",
  ])("by %s would only come again", (reason) => {
    expect(ended(reason)).toMatchObject({ call: { status: "failed", permanent: true } });
    expect(observationOf(call({ status: "ended", endedReason: reason }), true)).not.toHaveProperty(
      "call.permanent",
    );
  });

  test.each([
    "twilio-failed-to-connect-call",
    "vonage-rejected",
    "assistant-join-timed-out",
    "assistant-request-failed",
    "worker-shutdown",
    "call.start.error-subscription-concurrency-limit-reached",
    "call.start.error-vapifault-database-error",
    "call.start.error-get-transport",
    "call.start.error-get-org",
    "call.in-progress.error-providerfault-outbound-sip-503-service-unavailable",
  ])("by %s may be another the next time", (reason) => {
    expect(ended(reason)).toMatchObject({ call: { status: "failed" } });
    expect(ended(reason)).not.toHaveProperty("call.permanent");
  });

  test("by a pipeline's error is a call that broke off, and not one to be made again", () => {
    for (const reason of [
      "call.in-progress.error-vapifault-openai-429-exceeded-quota",
      "pipeline-error-openai-llm-failed",
    ])
      expect(ended(reason, { startedAt: "2026-01-01T00:00:00Z" })).toMatchObject({
        is: "ended",
        call: { status: "hungUp" },
        cause: "provider",
        retryable: false,
      });
  });

  test("by the carrier's SIP response has its code", () => {
    expect(
      ended("call.in-progress.error-providerfault-outbound-sip-480-temporarily-unavailable"),
    ).toMatchObject({
      call: { status: "noAnswer", sipCode: 480 },
    });
    expect(ended("call.in-progress.error-providerfault-outbound-sip-403-forbidden")).toMatchObject({
      call: { status: "failed", sipCode: 403 },
      cause: "provider",
    });
    expect(ended("call.in-progress.error-providerfault-outbound-sip-503-service-unavailable")).toMatchObject({
      call: { status: "failed", sipCode: 503 },
      cause: "provider",
    });
  });

  test("by a voicemail says that a machine answered", () => {
    expect(ended("voicemail")).toMatchObject({ call: { answeredBy: "machine" } });
  });

  test("after an answer is never one that would have somebody called again", () => {
    const again = ["busy", "noAnswer", "failed"];
    for (const reason of [
      "customer-busy",
      "customer-did-not-answer",
      "worker-shutdown",
      "manually-canceled",
      "anything",
    ]) {
      expect(again).not.toContain(endingOf(reason, true).status);
      expect(endingOf(reason, true).status).toBe("hungUp");
      expect(observationOf(call({ status: "ended", endedReason: reason }), true)).toMatchObject({
        call: { status: "hungUp" },
      });
    }
  });

  test("says in words what VAPI adds", () => {
    expect(ended("customer-busy", { endedMessage: "the line is engaged" })).toMatchObject({
      reason: "the callee was busy (VAPI: customer-busy): the line is engaged",
    });
  });

  test("of a call that VAPI knows no more is unknown", () => {
    expect(observationOf(call({ status: "not-found" }), false)).toMatchObject({
      call: { status: "unknown" },
    });
  });
});

describe("a call that was told to end from here", () => {
  const told = (endedReason: string, startedAt?: string) =>
    endFromHere(call({ status: "ended", endedReason, startedAt }));

  test.each(["manually-canceled", "call-deleted", "customer-busy", "customer-did-not-answer"])(
    "and ended by %s had not been answered",
    (reason) => {
      expect(told(reason)).toMatchObject({ status: "hungUp", unanswered: true });
      expect(told(reason, "2026-01-01T00:00:00Z")).toEqual({ status: "hungUp", providerReason: reason });
    },
  );

  test("may have been answered by a reason that nobody knows, or that only comes of a conversation", () => {
    expect(told("a reason of next year")).toBeUndefined();
    expect(told("assistant-ended-call")).toEqual({
      status: "hungUp",
      providerReason: "assistant-ended-call",
    });
    expect(told("voicemail")).toMatchObject({ status: "voicemail" });
  });
});

describe("a SIP response", () => {
  test.each([
    [486, "busy"],
    [600, "busy"],
    [603, "busy"],
    [408, "noAnswer"],
    [480, "noAnswer"],
    [487, "noAnswer"],
    [429, "failed"],
    [491, "failed"],
    [500, "failed"],
    [503, "failed"],
    [699, "failed"],
  ])("%i leaves the call %s for now", (sipCode, status) => {
    expect(callStatusOfSipCode(sipCode)).toEqual({ status, sipCode });
  });

  test.each([400, 401, 403, 404, 407, 410, 484, 485, 488, 604, 606, 607, 608])(
    "%i says that the call would only fail again",
    (sipCode) => {
      expect(callStatusOfSipCode(sipCode)).toEqual({ status: "failed", sipCode, permanent: true });
    },
  );
});

test("a call's name is its session's, fits VAPI's 40 characters and tells tenants apart", () => {
  const name = callNameOf("t", "s_0123456789012345678901");
  expect(name).toBe(callNameOf("t", "s_0123456789012345678901"));
  expect(name.length).toBeLessThanOrEqual(40);
  expect(new Set([name, callNameOf("u", "s_0123456789012345678901"), callNameOf("t", "s")]).size).toBe(3);
});
