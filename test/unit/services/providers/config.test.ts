// The providers service's settings. All values differ, so that none can be mistaken for another.
import { expect, test } from "vitest";
import { readConfig } from "../../../../libs/runtime/config.ts";
import * as providers from "../../../../services/providers/config.ts";

test("gives the providers service its settings: launches and claims", () => {
  const config = readConfig(providers.providersSettings, {
    GREENROOM_LIVEKIT_DISPATCH_TIMEOUT_MS: "511",
    GREENROOM_PROVIDER_POLL_MS: "112",
    GREENROOM_USER_REJOIN_GRACE_MS: "13",
    GREENROOM_SIP_RING_S: "14",
    GREENROOM_DRAIN_TIMEOUT_MS: "38999",
    GREENROOM_CLAIM_TIMEOUT_MS: "116",
    GREENROOM_CLAIM_REPLAY_WINDOW_MS: "17",
    GREENROOM_CLAIM_RETENTION_MS: "1018",
  });
  expect(providers.launchSettingsOf(config)).toEqual({
    limits: { dispatchTimeoutMs: 511, observeMs: 112, userLeftMs: 13 },
    ringingWaitMs: 38_999,
  });
  expect(providers.claimLimitsOf(config)).toEqual({ claimMs: 116, repeatMs: 17, keepMs: 1018 });
});

test("allows a stop longer than a phone may ring, whether set, empty or missing", () => {
  expect(providers.stopMsOf({ GREENROOM_SIP_RING_S: "60" })).toBe(95_000);
  expect(providers.stopMsOf({ GREENROOM_DRAIN_TIMEOUT_MS: "1000" })).toBe(11_000);
  for (const env of [{}, { GREENROOM_SIP_RING_S: "", GREENROOM_DRAIN_TIMEOUT_MS: "" }])
    expect(providers.stopMsOf(env)).toBe(80_000);
});
