// The providers of this connector: each as its settings say, and a refusal in words for those that aren't set up.
import { nameWith } from "../../libs/contracts/provider-choice.ts";
import { connectDispatches } from "../../libs/livekit/dispatches.ts";
import type { LiveKit } from "../../libs/livekit/rooms.ts";
import type { Clock } from "../../libs/process/clock.ts";
import type { ConnectorConfig } from "./config.ts";
import { createLiveKitProvider } from "./providers/livekit.ts";
import type { Provider } from "./providers/provider.ts";
import { unconfigured } from "./providers/unconfigured.ts";

interface Deps {
  readonly clock: Clock;
  readonly livekit: LiveKit | undefined;
}

export function createProviders(config: ConnectorConfig, { clock, livekit }: Deps): Provider[] {
  const { GREENROOM_PROVIDERS: rules } = config;
  return [
    livekit === undefined || livekit.isSimulated
      ? unconfigured("livekit", "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
      : createLiveKitProvider({
          clock,
          rooms: livekit.rooms,
          dispatches: connectDispatches(livekit),
          agentNameOf: (profile) => nameWith(rules, "livekit", profile),
        }),
    unconfigured("webhook", "this version has no webhook runner."),
    unconfigured("vapi", "this version makes no calls by VAPI."),
  ];
}
