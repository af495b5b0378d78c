// Creates the drivers of all providers from the settings. A provider without settings refuses every launch.
import type { ProviderName } from "../../libs/contracts/providers/provider.ts";
import { nameWith } from "../../libs/contracts/providers/provider-rules.ts";
import { connectAgentDispatches } from "../../libs/livekit/agent-dispatch.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { connectSipCalls } from "../../libs/livekit/sip-calls.ts";
import type { Log } from "../../libs/runtime/log.ts";
import { givenName } from "./call-settings.ts";
import type { OfferDeps } from "./claims/claim-offers.ts";
import type { ProvidersConfig } from "./config.ts";
import type { ProviderDriver } from "./drivers/driver.ts";
import { livekitDriver } from "./drivers/livekit.ts";
import { type Runner, runnerDriver } from "./drivers/runner.ts";
import { launchUrlOf } from "./drivers/runner-request.ts";
import { sipDriver } from "./drivers/sip.ts";
import { vapiDriver } from "./drivers/vapi.ts";
import { canDial } from "./launches/dial-guard.ts";
import type { RunnerSetup } from "./runner-settings.ts";

interface Deps extends OfferDeps {
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  readonly runner: RunnerSetup;
}

const SET_LIVEKIT = "Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.";

export function createProviders(config: ProvidersConfig, deps: Deps): ProviderDriver[] {
  const { clock, livekit, runner } = deps;
  const { GREENROOM_PROVIDERS: rules } = config;
  const dispatches =
    livekit === undefined || livekit.isSimulated ? undefined : connectAgentDispatches(livekit);
  return [
    livekit === undefined || dispatches === undefined
      ? unconfigured("livekit", SET_LIVEKIT)
      : livekitDriver({
          clock,
          rooms: livekit.rooms,
          dispatches,
          agentNameOf: (profile) => nameWith(rules, "livekit", profile),
        }),
    runnerDriver({
      ...deps,
      secrets: runner.secrets,
      claimUrlOf: runner.claimUrlOf,
      claimMs: config.GREENROOM_CLAIM_TIMEOUT_MS,
      askClient: dispatches?.askClient ?? (async () => "unknown"),
      runnerOf: (profile) => runnerOf(runner, nameWith(rules, "webhook", profile), profile),
    }),
    ...phoneDrivers(config, deps),
  ];
}

function phoneDrivers(config: ProvidersConfig, { bus, clock, livekit }: Deps): ProviderDriver[] {
  const { GREENROOM_PROVIDERS: rules, GREENROOM_VAPI_KEY: key } = config;
  return [
    livekit === undefined || livekit.isSimulated
      ? unconfigured("sip", SET_LIVEKIT)
      : sipDriver({
          clock,
          phones: connectSipCalls(livekit),
          rooms: livekit.rooms,
          trunkOf: (profile) => givenName(rules, "sip", profile) ?? config.GREENROOM_SIP_TRUNK,
          ringS: config.GREENROOM_SIP_RING_S,
          canDial: (order) => canDial(bus, order),
        }),
    key === undefined
      ? unconfigured("vapi", "Set GREENROOM_VAPI_KEY.")
      : vapiDriver({
          key,
          clock,
          url: config.GREENROOM_VAPI_URL,
          assistantOf: (profile) => givenName(rules, "vapi", profile),
          numbers: config.GREENROOM_VAPI_NUMBERS,
          pollMs: config.GREENROOM_VAPI_POLL_MS,
          answerMs: config.GREENROOM_VAPI_ANSWER_MS,
          canDial: (order) => canDial(bus, order),
        }),
  ];
}

/** A rule names either the address of a profile's own runner, or the agent of the common runner. */
function runnerOf({ launcherUrl }: RunnerSetup, name: string, profile: string): Runner | undefined {
  if (/^https?:/.test(name)) return { url: launchUrlOf(name), agent: profile };
  return launcherUrl === undefined ? undefined : { url: launcherUrl, agent: name };
}

/** @param advice how to configure the provider, as a sentence */
const unconfigured = (name: ProviderName, advice: string): ProviderDriver => ({
  name,
  launchLimitMs: 1000,
  launch: async () => ({
    is: "refused",
    reason: `The provider ${name} is not configured. ${advice}`,
    retryable: false,
  }),
  observe: async () => ({ is: "absent", reason: `the provider ${name} is not configured` }),
  end: async () => undefined,
});
