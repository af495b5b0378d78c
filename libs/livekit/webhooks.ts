// LiveKit's webhooks: verifies their signature and extracts room events.
import { DisconnectReason, type ParticipantInfo, ParticipantInfo_Kind } from "@livekit/protocol";
import { WebhookReceiver } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import type { RoomEvent } from "../contracts/fleet/pool.ts";
import type { LiveKit } from "./rooms.ts";

/** A human participant, on a client or a phone, that joined a room. */
export interface Arrival {
  readonly room: string;
  /** Creation of the room in seconds since 1970 on LiveKit's clock. Distinguishes rooms with the same name. */
  readonly createdAtS: number;
  readonly identity: string;
  readonly name?: string;
  /** For a phone: `sip.phoneNumber` and others. */
  readonly attributes: Readonly<Record<string, string>>;
}

interface RoomWebhook {
  readonly event: RoomEvent;
  readonly arrival?: Arrival;
  /** The identity of a human participant who has left the room, or whose connection has failed. */
  readonly leaver?: string;
}

export interface Webhooks {
  /**
   * Verifies a webhook's signature over its raw body.
   * @returns undefined if the webhook is not about a room
   * @throws GreenroomError unauthorized if it is not signed with the configured key
   */
  receive(body: string, authorization: string | undefined): Promise<RoomWebhook | undefined>;
}

/** The events after which a participant is gone. The second one means that the connection was not complete yet. */
export const LEFT = new Set<string>(["participant_left", "participant_connection_aborted"]);

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
          `Invalid webhook signature: ${messageOf(error)}. Set LiveKit's webhook.api_key to the gateway's LIVEKIT_API_KEY.`,
          { cause: error },
        );
      }
      const room = event.room?.name;
      if (event.room === undefined || room === undefined || room === "") return undefined;
      const identity = event.participant?.identity;
      const reason = event.event === "participant_left" ? reasonOf(event.participant) : undefined;
      const roomEvent = {
        event: event.event,
        room,
        ...(identity === undefined ? {} : { identity }),
        ...(reason === undefined ? {} : { reason }),
      };
      const { participant } = event;
      if (participant === undefined || !isPerson(participant)) return { event: roomEvent };
      if (LEFT.has(event.event)) return { event: roomEvent, leaver: participant.identity };
      if (event.event !== "participant_joined") return { event: roomEvent };
      const { name, attributes } = participant;
      return {
        event: roomEvent,
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

const isPerson = ({ kind, permission }: ParticipantInfo): boolean =>
  permission?.hidden !== true &&
  (kind === ParticipantInfo_Kind.STANDARD || kind === ParticipantInfo_Kind.SIP);

/** Undefined if LiveKit does not know the reason. */
const reasonOf = (participant: { disconnectReason: DisconnectReason } | undefined): string | undefined =>
  participant === undefined || participant.disconnectReason === DisconnectReason.UNKNOWN_REASON
    ? undefined
    : DisconnectReason[participant.disconnectReason];
