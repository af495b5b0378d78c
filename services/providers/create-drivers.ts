// The drivers of all providers: each as its settings say, and a refusal in words for one that is not configured.
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
import { unconfigured } from "./drivers/unconfigured.ts";
import { vapiDriver } from "./drivers/vapi.ts";
import { canDial } from "./launches/dial-guard.ts";
import type { RunnerSetup } from "./runner-settings.ts";

interface Deps extends OfferDeps {
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  readonly runner: RunnerSetup;
}

export function createProviders(config: ProvidersConfig, deps: Deps): ProviderDriver[] {
  const { clock, livekit, runner } = deps;
  const { GREENROOM_PROVIDERS: rules } = config;
  const dispatches =
    livekit === undefined || livekit.isSimulated ? undefined : connectAgentDispatches(livekit);
  return [
    livekit === undefined || dispatches === undefined
      ? unconfigured("livekit", "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
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
    ...telephones(config, deps),
  ];
}

function telephones(config: ProvidersConfig, { bus, clock, livekit }: Deps): ProviderDriver[] {
  const { GREENROOM_PROVIDERS: rules, GREENROOM_VAPI_KEY: key } = config;
  return [
    livekit === undefined || livekit.isSimulated
      ? unconfigured("sip", "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
      : sipDriver({
          clock,
          phones: connectSipCalls(livekit),
          rooms: livekit.rooms,
          trunkOf: (profile) => givenName(rules, "sip", profile) ?? config.GREENROOM_SIP_TRUNK,
          ringS: config.GREENROOM_SIP_RING_S,
          canDial: (order) => canDial(bus, order),
        }),
    key === undefined
      ? unconfigured("vapi", "set GREENROOM_VAPI_KEY.")
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

/** A rule may give a profile's own runner by its address, or what the runner of all calls its agent. */
function runnerOf({ launcherUrl }: RunnerSetup, name: string, profile: string): Runner | undefined {
  if (/^https?:/.test(name)) return { url: launchUrlOf(name), agent: profile };
  return launcherUrl === undefined ? undefined : { url: launcherUrl, agent: name };
}
