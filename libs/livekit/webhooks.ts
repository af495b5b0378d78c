// LiveKit's webhooks: whether one is really LiveKit's, and what it hints at.
import { DisconnectReason, ParticipantInfo_Kind } from "@livekit/protocol";
import { WebhookReceiver } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import type { RoomEvent } from "../contracts/fleet/pool.ts";
import type { LiveKit } from "./rooms.ts";

/** A person, or a telephone, that came into a room. */
export interface Arrival {
  readonly room: string;
  /** When the room was made: seconds since 1970 on LiveKit's clock. Tells it from a later one of its name. */
  readonly createdAtS: number;
  readonly identity: string;
  readonly name?: string;
  /** Of a telephone: `sip.phoneNumber` and others. */
  readonly attributes: Readonly<Record<string, string>>;
}

interface RoomWebhook {
  readonly event: RoomEvent;
  readonly arrival?: Arrival;
}

export interface Webhooks {
  /**
   * Checks a webhook's signature over its body as it was sent.
   * @returns undefined for one that is about no room.
   * @throws GreenroomError unauthorized, when it isn't signed with our key
   */
  receive(body: string, authorization: string | undefined): Promise<RoomWebhook | undefined>;
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
      if (event.room === undefined || room === undefined || room === "") return undefined;
      const identity = event.participant?.identity;
      const reason = event.event === "participant_left" ? reasonOf(event.participant) : undefined;
      const hint = {
        event: event.event,
        room,
        ...(identity === undefined ? {} : { identity }),
        ...(reason === undefined ? {} : { reason }),
      };
      const { participant } = event;
      if (event.event !== "participant_joined" || participant === undefined || !isPerson(participant.kind))
        return { event: hint };
      const { name, attributes } = participant;
      return {
        event: hint,
        arrival: {
          room,
          createdAtS: Number(event.room.creationTime),
          identity: participant.identity,
          ...(name === "" ? {} : { name }),
          attributes,
        },
      };
    },
  };
}

const isPerson = (kind: ParticipantInfo_Kind): boolean =>
  kind === ParticipantInfo_Kind.STANDARD || kind === ParticipantInfo_Kind.SIP;

/** Undefined also where LiveKit doesn't know it. */
const reasonOf = (participant: { disconnectReason: DisconnectReason } | undefined): string | undefined =>
  participant === undefined || participant.disconnectReason === DisconnectReason.UNKNOWN_REASON
    ? undefined
    : DisconnectReason[participant.disconnectReason];
