// The providers of this connector: each as its settings say, and a refusal in words for those that aren't set up.
import { nameWith } from "../../libs/contracts/providers/provider-rules.ts";
import { connectDispatches } from "../../libs/livekit/agent-dispatch.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import { connectPhones } from "../../libs/livekit/sip-calls.ts";
import type { Log } from "../../libs/runtime/log.ts";
import type { OfferDeps } from "../handoffs/claim-offers.ts";
import { givenName } from "./call-settings.ts";
import type { ConnectorConfig } from "./config.ts";
import type { Provider } from "./drivers/driver.ts";
import { createLiveKitProvider } from "./drivers/livekit.ts";
import { type Runner, webhookProvider } from "./drivers/runner.ts";
import { launchUrlOf } from "./drivers/runner-request.ts";
import { sipProvider } from "./drivers/sip.ts";
import { unconfigured } from "./drivers/unconfigured.ts";
import { vapiProvider } from "./drivers/vapi.ts";
import { mayCall } from "./launches/dial-guard.ts";
import type { RuntimeSetUp } from "./runner-settings.ts";

interface Deps extends OfferDeps {
  readonly log: Log;
  readonly livekit: LiveKit | undefined;
  readonly runtime: RuntimeSetUp;
}

export function createProviders(config: ConnectorConfig, deps: Deps): Provider[] {
  const { clock, livekit, runtime } = deps;
  const { GREENROOM_PROVIDERS: rules } = config;
  const dispatches = livekit === undefined || livekit.isSimulated ? undefined : connectDispatches(livekit);
  return [
    livekit === undefined || dispatches === undefined
      ? unconfigured("livekit", "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
      : createLiveKitProvider({
          clock,
          rooms: livekit.rooms,
          dispatches,
          agentNameOf: (profile) => nameWith(rules, "livekit", profile),
        }),
    webhookProvider({
      ...deps,
      secrets: runtime.secrets,
      claimUrlOf: runtime.claimUrlOf,
      claimMs: config.GREENROOM_DISPATCH_CLAIM_MS,
      askClient: dispatches?.askClient ?? (async () => "unknown"),
      runnerOf: (profile) => runnerOf(runtime, nameWith(rules, "webhook", profile), profile),
    }),
    ...telephones(config, deps),
  ];
}

function telephones(config: ConnectorConfig, { bus, clock, livekit }: Deps): Provider[] {
  const { GREENROOM_PROVIDERS: rules, GREENROOM_VAPI_KEY: key } = config;
  return [
    livekit === undefined || livekit.isSimulated
      ? unconfigured("sip", "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
      : sipProvider({
          clock,
          phones: connectPhones(livekit),
          rooms: livekit.rooms,
          trunkOf: (profile) => givenName(rules, "sip", profile) ?? config.GREENROOM_SIP_TRUNK,
          ringS: config.GREENROOM_SIP_RING_S,
          mayCall: (order) => mayCall(bus, order),
        }),
    key === undefined
      ? unconfigured("vapi", "set GREENROOM_VAPI_KEY.")
      : vapiProvider({
          key,
          clock,
          url: config.GREENROOM_VAPI_URL,
          assistantOf: (profile) => givenName(rules, "vapi", profile),
          numbers: config.GREENROOM_VAPI_NUMBERS,
          pollMs: config.GREENROOM_VAPI_POLL_MS,
          answerMs: config.GREENROOM_VAPI_ANSWER_MS,
          mayCall: (order) => mayCall(bus, order),
        }),
  ];
}

/** A rule may give a profile's own runner by its address, or what the runner of all calls its agent. */
function runnerOf({ launcherUrl }: RuntimeSetUp, name: string, profile: string): Runner | undefined {
  if (/^https?:/.test(name)) return { url: launchUrlOf(name), agent: profile };
  return launcherUrl === undefined ? undefined : { url: launcherUrl, agent: name };
}
