// Phone calls through LiveKit SIP: dials a callee into a room, and reads the status of the call.
import { RoomServiceClient, SipClient, TwirpError } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { CALL_STATUS } from "../contracts/sessions/room-messages.ts";
import type { LiveKit } from "./rooms.ts";

export interface DialRequest {
  /** LiveKit's id of the outbound trunk, for example ST_abc. */
  readonly trunkId: string;
  readonly to: string;
  /** The number that the callee sees. Undefined: the trunk's number. */
  readonly from: string | undefined;
  readonly room: string;
  readonly identity: string;
  readonly name: string;
  readonly ringS: number;
  /** LiveKit SIP ends the call after this time at the latest. */
  readonly longestS: number;
}

export type DialResult =
  | { readonly is: "answered"; readonly callId: string }
  /** Nobody answered before the end of the ringing time. */
  | { readonly is: "rang out"; readonly reason: string }
  /** The call failed: the carrier or LiveKit rejected it. */
  | {
      readonly is: "refused";
      readonly sipCode?: number;
      readonly reason: string;
      /** Set if LiveKit would reject the same request again. */
      readonly permanent?: true;
    }
  /** No byte of the request was sent. */
  | { readonly is: "not sent"; readonly reason: string }
  /** The number may or may not have been dialed. The phone may be ringing, or answered. */
  | { readonly is: "unconfirmed"; readonly reason: string };

/** Status of the callee's line by LiveKit SIP. */
export interface Callee {
  readonly status: "dialing" | "ringing" | "automation" | "active" | "hangup" | "unknown";
  readonly callId?: string;
}

export interface SipCalls {
  /** Dials exactly once. Returns when somebody answers, or nobody will. */
  dial(call: DialRequest): Promise<DialResult>;
  /** The callee in the room; undefined if absent. @throws GreenroomError livekit_unavailable */
  observe(room: string, identity: string): Promise<Callee | undefined>;
}

const CALL_ID = "sip.callID";
const STATUSES = ["dialing", "ringing", "automation", "active", "hangup"] as const;
/** LiveKit's server stops waiting for an answer 80 s after the request. */
export const RING_S_MAX = 70;
/** Added to the ringing time, for connecting to the carrier and ending the call. */
const SETUP_S = 10;

export function connectSipCalls({
  url,
  apiKey,
  apiSecret,
}: Pick<LiveKit, "url" | "apiKey" | "apiSecret">): SipCalls {
  const api = url.replace(/^ws/, "http");
  // By default the SDK retries in LiveKit Cloud's next region after a lost answer, which would dial again.
  const calls = new SipClient(api, apiKey, apiSecret, { failover: false });
  const rooms = new RoomServiceClient(api, apiKey, apiSecret, { requestTimeout: 5 });
  return {
    async dial({ trunkId, to, from, room, identity, name, ringS, longestS }) {
      try {
        const info = await calls.createSipParticipant(trunkId, to, room, {
          ...(from === undefined ? {} : { fromNumber: from }),
          participantIdentity: identity,
          participantName: name,
          ringingTimeout: ringS,
          maxCallDuration: longestS,
          waitUntilAnswered: true,
          timeout: ringS + SETUP_S,
        });
        return { is: "answered", callId: info.sipCallId };
      } catch (error) {
        return dialFailureOf(error);
      }
    },
    async observe(room, identity) {
      try {
        const { attributes } = await rooms.getParticipant(room, identity);
        const status = STATUSES.find((known) => known === attributes[CALL_STATUS]) ?? "unknown";
        const callId = attributes[CALL_ID];
        return { status, ...(callId === undefined ? {} : { callId }) };
      } catch (error) {
        if (error instanceof TwirpError && error.code === "not_found") return undefined;
        throw new GreenroomError(
          "livekit_unavailable",
          `looking for ${identity} in ${room} failed: ${messageOf(error)}`,
          { cause: error },
        );
      }
    },
  };
}

/** Ids of LiveKit's outbound trunks. @throws Error if LiveKit can't list them, for example without SIP */
export async function outboundTrunks({
  url,
  apiKey,
  apiSecret,
}: Pick<LiveKit, "url" | "apiKey" | "apiSecret">): Promise<string[]> {
  const client = new SipClient(url.replace(/^ws/, "http"), apiKey, apiSecret, { requestTimeout: 5 });
  return (await client.listSipOutboundTrunk()).map(({ sipTrunkId }) => sipTrunkId);
}

/** Rejections by LiveKit before it calls LiveKit SIP, or by LiveKit SIP before the INVITE. They would recur. */
const REFUSALS = [
  "invalid_argument",
  "malformed",
  "not_found",
  "permission_denied",
  "unauthenticated",
  "unimplemented",
  "bad_route",
];

/** Parts of messages of errors before anything was dialed. Source: livekit-server 1.13 and livekit-sip. */
const NOTHING_DIALED = [
  "sip not connected",
  "no response from servers",
  "cpu exhausted",
  // The trunk did not answer the INVITE at all.
  "transaction failed to complete (0 intermediate responses)",
];

/** Errors of connections that were never established. */
const NEVER_SENT = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
];

/**
 * Interprets the error of a dial request. With `waitUntilAnswered`, LiveKit returns a carrier's response as a Twirp
 * error whose metadata contains the SIP status.
 */
export function dialFailureOf(error: unknown): Exclude<DialResult, { is: "answered" }> {
  if (!(error instanceof TwirpError)) {
    const code = (error as { cause?: { code?: string } }).cause?.code ?? "";
    if (NEVER_SENT.includes(code)) return { is: "not sent", reason: `failed to reach LiveKit: ${code}` };
    return {
      is: "unconfirmed",
      reason: `LiveKit did not answer the dial request: ${code || messageOf(error)}`,
    };
  }
  const { code = "", metadata, message } = error;
  const sipCode = Number(metadata?.sip_status_code ?? Number.NaN);
  if (Number.isInteger(sipCode))
    return { is: "refused", sipCode, reason: `SIP ${sipCode} ${metadata?.sip_status ?? ""}`.trim() };
  const reason = `LiveKit failed the call: ${code} ${message}`.slice(0, 240);
  if (code === "canceled" && message.includes("sip request timed out")) return { is: "rang out", reason };
  if (NOTHING_DIALED.some((words) => message.includes(words))) return { is: "refused", reason };
  if (REFUSALS.includes(code)) return { is: "refused", reason, permanent: true };
  return { is: "unconfirmed", reason };
}
