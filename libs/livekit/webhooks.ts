// LiveKit's webhooks: whether one is really LiveKit's, and what it hints at.
import { DisconnectReason } from "@livekit/protocol";
import { WebhookReceiver } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import type { RoomHint } from "../contracts/pool.ts";
import type { LiveKit } from "./rooms.ts";

export interface Webhooks {
  /**
   * Checks a webhook's signature over its body as it was sent.
   * @returns undefined for one that is about no room.
   * @throws GreenroomError unauthorized, when it isn't signed with our key
   */
  receive(body: string, authorization: string | undefined): Promise<RoomHint | undefined>;
}

export function createWebhooks(livekit: Pick<LiveKit, "apiKey" | "apiSecret">): Webhooks {
  const receiver = new WebhookReceiver(livekit.apiKey, livekit.apiSecret);
  return {
    async receive(body, authorization) {
      let event: Awaited<ReturnType<WebhookReceiver["receive"]>>;
      try {
        event = await receiver.receive(body, authorization);
      } catch (error) {
        throw new GreenroomError(
          "unauthorized",
          `The webhook's signature can't be accepted: ${messageOf(error)}. Set LiveKit's webhook.api_key to the gateway's LIVEKIT_API_KEY.`,
          { cause: error },
        );
      }
      const room = event.room?.name;
      if (room === undefined || room === "") return undefined;
      const identity = event.participant?.identity;
      const reason = event.event === "participant_left" ? reasonOf(event.participant) : undefined;
      return {
        event: event.event,
        room,
        ...(identity === undefined ? {} : { identity }),
        ...(reason === undefined ? {} : { reason }),
      };
    },
  };
}

/** Undefined also where LiveKit doesn't know it. */
const reasonOf = (participant: { disconnectReason: DisconnectReason } | undefined): string | undefined =>
  participant === undefined || participant.disconnectReason === DisconnectReason.UNKNOWN_REASON
    ? undefined
    : DisconnectReason[participant.disconnectReason];
