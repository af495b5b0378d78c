// What an error says of a call that was to be made through LiveKit SIP: every kind that its servers give.
import { TwirpError } from "livekit-server-sdk";
import { describe, expect, test } from "vitest";
import { dialFailureOf } from "../../../../libs/livekit/sip-calls.ts";

const twirp = (code: string, message: string, metadata?: Record<string, string>) =>
  new TwirpError("Status", message, 400, code, metadata);
const fetchFailed = (code: string) =>
  new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) });

describe("a call that ended in an error", () => {
  test.each([
    ["resource_exhausted", "486", "Busy Here"],
    ["deadline_exceeded", "408", "Request Timeout"],
    ["not_found", "404", "Not Found"],
    ["failed_precondition", "503", "Service Unavailable"],
    ["unknown", "699", "Something new"],
  ])(
    "with the carrier's response is refused by it, whatever LiveKit calls it (%s, SIP %s)",
    (code, sip, words) => {
      const error = twirp(code, `INVITE failed: sip status: ${sip}`, {
        sip_status_code: sip,
        sip_status: words,
      });
      expect(dialFailureOf(error)).toEqual({
        is: "refused",
        sipCode: Number(sip),
        reason: `SIP ${sip} ${words}`,
      });
    },
  );

  test("by its ring time-out rang out", () => {
    expect(dialFailureOf(twirp("canceled", "sip request timed out"))).toMatchObject({ is: "rang out" });
  });

  test.each([
    ["invalid_argument", "invalid To header: username or number must be set"],
    ["not_found", "requested sip trunk does not exist"],
    ["permission_denied", "permissions denied"],
    ["unauthenticated", "invalid API key"],
  ])("that LiveKit refuses by itself would be refused again (%s: %s)", (code, message) => {
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
  ])("before anything was dialled is refused (%s: %s)", (code, message) => {
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
  ])("after which the telephone may ring is unclear (%s: %s)", (code, message) => {
    expect(dialFailureOf(twirp(code, message))).toMatchObject({ is: "unconfirmed" });
  });

  test.each(["ECONNREFUSED", "ENOTFOUND", "UND_ERR_CONNECT_TIMEOUT"])(
    "of a connection that was never made was not sent (%s)",
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
  ])("of a connection that broke is unclear (%s)", (error) => {
    expect(dialFailureOf(error)).toMatchObject({ is: "unconfirmed" });
  });
});
