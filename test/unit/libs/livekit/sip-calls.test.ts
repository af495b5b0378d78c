// Failures of calls through LiveKit SIP, for every kind of error that its servers return.
import { TwirpError } from "livekit-server-sdk";
import { describe, expect, test } from "vitest";
import { dialFailureOf } from "../../../../libs/livekit/sip-calls.ts";

const twirp = (code: string, message: string, metadata?: Record<string, string>) =>
  new TwirpError("Status", message, 400, code, metadata);
const fetchFailed = (code: string) =>
  new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) });

describe("dialFailureOf", () => {
  test.each([
    ["resource_exhausted", "486", "Busy Here"],
    ["deadline_exceeded", "408", "Request Timeout"],
    ["not_found", "404", "Not Found"],
    ["failed_precondition", "503", "Service Unavailable"],
    ["unknown", "699", "Something new"],
  ])(
    "reports a carrier's response as refused, whatever code LiveKit gives it (%s, SIP %s)",
    (code, sip, status) => {
      const error = twirp(code, `INVITE failed: sip status: ${sip}`, {
        sip_status_code: sip,
        sip_status: status,
      });
      expect(dialFailureOf(error)).toEqual({
        is: "refused",
        sipCode: Number(sip),
        reason: `SIP ${sip} ${status}`,
      });
    },
  );

  test("reports a ring timeout as rung out", () => {
    expect(dialFailureOf(twirp("canceled", "sip request timed out"))).toMatchObject({ is: "rang out" });
  });

  test.each([
    ["invalid_argument", "invalid To header: username or number must be set"],
    ["not_found", "requested sip trunk does not exist"],
    ["permission_denied", "permissions denied"],
    ["unauthenticated", "invalid API key"],
  ])("reports LiveKit's own refusals as permanent (%s: %s)", (code, message) => {
    expect(dialFailureOf(twirp(code, message))).toEqual({
      is: "refused",
      reason: `LiveKit failed the call: ${code} ${message}`,
      permanent: true,
    });
  });

  test.each([
    ["internal", "sip not connected (redis required)"],
    ["unavailable", "no response from servers"],
    ["unavailable", "cpu exhausted"],
    ["canceled", "transaction failed to complete (0 intermediate responses)"],
  ])("reports an error before dialing as refused (%s: %s)", (code, message) => {
    expect(dialFailureOf(twirp(code, message))).toEqual({
      is: "refused",
      reason: `LiveKit failed the call: ${code} ${message}`,
    });
  });

  test.each([
    ["canceled", "transaction failed to complete (2 intermediate responses)"],
    ["canceled", "service shutting down"],
    ["deadline_exceeded", "request timed out"],
    ["failed_precondition", "no common codec"],
    ["unavailable", "write: broken pipe"],
    ["internal", "update room failed"],
    ["unknown", "something else"],
    ["", "Unknown internal error"],
  ])("reports an error after which the phone may ring as unconfirmed (%s: %s)", (code, message) => {
    expect(dialFailureOf(twirp(code, message))).toMatchObject({ is: "unconfirmed" });
  });

  test.each(["ECONNREFUSED", "ENOTFOUND", "UND_ERR_CONNECT_TIMEOUT"])(
    "reports a connection that was never made as not sent (%s)",
    (code) => {
      expect(dialFailureOf(fetchFailed(code))).toEqual({
        is: "not sent",
        reason: `failed to reach LiveKit: ${code}`,
      });
    },
  );

  test.each([
    fetchFailed("ECONNRESET"),
    fetchFailed("UND_ERR_SOCKET"),
    new DOMException("late", "TimeoutError"),
    "what",
  ])("reports a broken connection as unconfirmed (%s)", (error) => {
    expect(dialFailureOf(error)).toMatchObject({ is: "unconfirmed" });
  });
});
