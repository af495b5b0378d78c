// Connects LiveKit as configured: a real server, simulated rooms, or none.
import { RoomServiceClient } from "livekit-server-sdk";
import { GreenroomError } from "../contracts/errors.ts";
import type { CommonConfig } from "../runtime/common-settings.ts";
import { createAskAgent } from "./ask-agent.ts";
import { liveRooms } from "./live-rooms.ts";
import type { LiveKit } from "./rooms.ts";
import { simulatedRooms } from "./simulated-rooms.ts";
import { createTokens } from "./tokens.ts";

type Config = Pick<
  CommonConfig,
  "LIVEKIT_URL" | "LIVEKIT_PUBLIC_URL" | "LIVEKIT_API_KEY" | "LIVEKIT_API_SECRET" | "LIVEKIT_MOCK_MODE"
>;

/** For simulated rooms only: their tokens have the right format and give access to nothing. */
const MOCK_KEY = "simulated";
const MOCK_SECRET = "simulated-rooms-have-no-door-to-open";

/** @returns undefined if LiveKit is not configured. The API works without it, and reports it as disabled. */
export function connectLiveKit(config: Config): LiveKit | undefined {
  if (config.LIVEKIT_MOCK_MODE) {
    const url = "ws://simulated.invalid";
    return {
      rooms: simulatedRooms(),
      tokens: createTokens(MOCK_KEY, MOCK_SECRET),
      url,
      publicUrl: config.LIVEKIT_PUBLIC_URL ?? url,
      apiKey: MOCK_KEY,
      apiSecret: MOCK_SECRET,
      isSimulated: true,
    };
  }
  const { LIVEKIT_URL: url, LIVEKIT_API_KEY: apiKey, LIVEKIT_API_SECRET: apiSecret } = config;
  if (url === undefined || apiKey === undefined || apiSecret === undefined) return undefined;
  const api = url.replace(/^ws/, "http");
  return {
    rooms: liveRooms(
      new RoomServiceClient(api, apiKey, apiSecret, { requestTimeout: 5 }),
      createAskAgent({ api, apiKey, apiSecret }),
    ),
    tokens: createTokens(apiKey, apiSecret),
    url,
    publicUrl: config.LIVEKIT_PUBLIC_URL ?? url,
    apiKey,
    apiSecret,
    isSimulated: false,
  };
}

/** @throws GreenroomError livekit_unavailable if LiveKit is not configured */
export function requireLiveKit(livekit: LiveKit | undefined): LiveKit {
  if (livekit !== undefined) return livekit;
  throw new GreenroomError(
    "livekit_unavailable",
    "No LiveKit is configured. Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or LIVEKIT_MOCK_MODE=true.",
  );
}
