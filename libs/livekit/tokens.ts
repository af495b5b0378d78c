// Creates room tokens with the minimum of grants.
import { RoomConfiguration } from "@livekit/protocol";
import { AccessToken } from "livekit-server-sdk";
import type { TokenRequest, Tokens } from "./rooms.ts";

/**
 * The options that are set. A message of LiveKit's protocol would become JSON with all fields. Older clients refuse a
 * token with a field that they don't know.
 */
const onlySet = (config: NonNullable<TokenRequest["roomConfig"]>): RoomConfiguration =>
  new RoomConfiguration(config).toJson() as unknown as RoomConfiguration;

export function createTokens(apiKey: string, apiSecret: string): Tokens {
  const token = (request: TokenRequest) =>
    new AccessToken(apiKey, apiSecret, {
      identity: request.identity,
      ttl: request.ttlS,
      ...(request.name === undefined ? {} : { name: request.name }),
      ...(request.metadata === undefined ? {} : { metadata: request.metadata }),
      ...(request.attributes === undefined ? {} : { attributes: request.attributes }),
    });
  const grantsIn = (room: string) => ({
    room,
    roomJoin: true,
    canPublish: true,
    canSubscribe: true,
    canPublishData: true,
    canUpdateOwnMetadata: true,
  });
  return {
    forUser(request) {
      const access = token(request);
      access.addGrant(grantsIn(request.room));
      if (request.roomConfig !== undefined) access.roomConfig = onlySet(request.roomConfig);
      return access.toJwt();
    },
    forAgent(request) {
      const access = token(request);
      access.kind = "agent";
      access.addGrant({ ...grantsIn(request.room), agent: true });
      return access.toJwt();
    },
  };
}
