// The settings of the providers service.
import { PROVIDERS_DESCRIPTION, parseProviderRules } from "../../libs/contracts/providers/provider-rules.ts";
import { commonSettings } from "../../libs/runtime/common-settings.ts";
import { type ConfigOf, setting } from "../../libs/runtime/config.ts";
import { callSettings } from "./call-settings.ts";
import { ringingWaitMs } from "./launches/wait-for-ringing-calls.ts";
import { runnerSettings } from "./runner-settings.ts";

export const providersSettings = {
  ...commonSettings,
  GREENROOM_PROVIDERS: setting.parsed(PROVIDERS_DESCRIPTION, parseProviderRules),
  GREENROOM_LIVEKIT_DISPATCH_TIMEOUT_MS: setting.integer(
    "Maximum time in ms in which LiveKit must find a worker for a dispatch. Then the dispatch is canceled and repeated.",
    1500,
    500,
  ),
  GREENROOM_PROVIDER_POLL_MS: setting.integer(
    "Interval in ms between checks of an agent that a provider supplied.",
    3000,
    100,
  ),
  GREENROOM_DRAIN_TIMEOUT_MS: setting.integer(
    "Maximum time in ms for which ringing calls may continue after SIGTERM, at most their ring timeout. Then another instance follows them, which can't learn why a callee does not answer.",
    600_000,
    0,
  ),
  GREENROOM_USER_REJOIN_GRACE_MS: setting.integer(
    "Time in ms after which a session ends when its last user has left.",
    10_000,
    0,
  ),
  ...callSettings,
  ...runnerSettings,
};
export type ProvidersConfig = ConfigOf<typeof providersSettings>;

export const launchSettingsOf = (config: ProvidersConfig) => ({
  limits: {
    dispatchTimeoutMs: config.GREENROOM_LIVEKIT_DISPATCH_TIMEOUT_MS,
    userLeftMs: config.GREENROOM_USER_REJOIN_GRACE_MS,
    observeMs: config.GREENROOM_PROVIDER_POLL_MS,
  },
  ringingWaitMs: ringingWaitMs(config.GREENROOM_SIP_RING_S, config.GREENROOM_DRAIN_TIMEOUT_MS),
});

export const claimLimitsOf = (config: ProvidersConfig) => ({
  claimMs: config.GREENROOM_CLAIM_TIMEOUT_MS,
  repeatMs: config.GREENROOM_CLAIM_REPLAY_WINDOW_MS,
  keepMs: config.GREENROOM_CLAIM_RETENTION_MS,
});

/** The time for the rest of the stop, after the last ringing call. */
const AFTER_RINGING_MS = 10_000;

/**
 * How long a stop may take, in ms. Applies before the settings are validated, so invalid values give NaN here and fail
 * the start later. An empty setting has its default.
 */
export function stopMsOf(env: Readonly<Record<string, string | undefined>>): number {
  const { GREENROOM_DRAIN_TIMEOUT_MS: drain, GREENROOM_SIP_RING_S: ring } = providersSettings;
  const ringS = Number(env.GREENROOM_SIP_RING_S || ring.default);
  return AFTER_RINGING_MS + ringingWaitMs(ringS, Number(env.GREENROOM_DRAIN_TIMEOUT_MS || drain.default));
}
