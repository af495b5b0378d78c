// Meaning of VAPI's call statuses and ended reasons, row by row.
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

describe("observationOf a call in progress", () => {
  test.each([
    ["scheduled", "launched", "dialing"],
    ["queued", "launched", "dialing"],
    ["ringing", "joined", "ringing"],
    ["in-progress", "ready", "answered"],
    ["forwarding", "ready", "answered"],
    ["a status of next year", "launched", "dialing"],
    [undefined, "launched", "dialing"],
  ])("maps status %s to %s, and its call to %s", (status, is, progress) => {
    expect(observationOf({ id: "c", ...(status === undefined ? {} : { status }) }, false)).toEqual({
      is,
      externalId: "c",
      call: { status: progress },
    });
  });
});

describe("observationOf an ended call", () => {
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
  ])("maps %s to %s, without an error", (reason, status) => {
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
  ])("maps %s before an answer to %s, and ends the session", (reason, status) => {
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
  ])("marks %s as permanent", (reason) => {
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
  ])("treats %s as temporary", (reason) => {
    expect(ended(reason)).toMatchObject({ call: { status: "failed" } });
    expect(ended(reason)).not.toHaveProperty("call.permanent");
  });

  test("maps a pipeline error to a call that broke off and is not repeated", () => {
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

  test("has the SIP code of the carrier's response", () => {
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

  test("reports that a machine answered when the reason is voicemail", () => {
    expect(ended("voicemail")).toMatchObject({ call: { answeredBy: "machine" } });
  });

  test("never maps an answered call to a status that would repeat it", () => {
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

  test("includes VAPI's message in the reason", () => {
    expect(ended("customer-busy", { endedMessage: "the line is engaged" })).toMatchObject({
      reason: "the callee was busy (VAPI: customer-busy): the line is engaged",
    });
  });

  test("maps a call that VAPI no longer knows to unknown", () => {
    expect(observationOf(call({ status: "not-found" }), false)).toMatchObject({
      call: { status: "unknown" },
    });
  });
});

describe("endFromHere", () => {
  const endingFromHere = (endedReason: string, startedAt?: string) =>
    endFromHere(call({ status: "ended", endedReason, startedAt }));

  test.each(["manually-canceled", "call-deleted", "customer-busy", "customer-did-not-answer"])(
    "maps %s to an unanswered call, unless the call had started",
    (reason) => {
      expect(endingFromHere(reason)).toMatchObject({ status: "hungUp", unanswered: true });
      expect(endingFromHere(reason, "2026-01-01T00:00:00Z")).toEqual({
        status: "hungUp",
        providerReason: reason,
      });
    },
  );

  test("returns nothing for an unknown reason, and trusts a reason that implies an answer", () => {
    expect(endingFromHere("a reason of next year")).toBeUndefined();
    expect(endingFromHere("assistant-ended-call")).toEqual({
      status: "hungUp",
      providerReason: "assistant-ended-call",
    });
    expect(endingFromHere("voicemail")).toMatchObject({ status: "voicemail" });
  });
});

describe("callStatusOfSipCode", () => {
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
  ])("maps %i to a temporary %s", (sipCode, status) => {
    expect(callStatusOfSipCode(sipCode)).toEqual({ status, sipCode });
  });

  test.each([400, 401, 403, 404, 407, 410, 484, 485, 488, 604, 606, 607, 608])(
    "maps %i to a permanent failure",
    (sipCode) => {
      expect(callStatusOfSipCode(sipCode)).toEqual({ status: "failed", sipCode, permanent: true });
    },
  );
});

test("returns the same name for a session, within VAPI's 40 characters, distinct by tenant", () => {
  const name = callNameOf("t", "s_0123456789012345678901");
  expect(name).toBe(callNameOf("t", "s_0123456789012345678901"));
  expect(name.length).toBeLessThanOrEqual(40);
  expect(new Set([name, callNameOf("u", "s_0123456789012345678901"), callNameOf("t", "s")]).size).toBe(3);
});
