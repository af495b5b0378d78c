// Telephone calls through LiveKit SIP: dials somebody into a room, and looks how they stand there.
import { RoomServiceClient, SipClient, TwirpError } from "livekit-server-sdk";
import { GreenroomError, messageOf } from "../contracts/errors.ts";
import { CALL_STATUS } from "../contracts/sessions/room-messages.ts";
import type { LiveKit } from "./rooms.ts";

export interface DialRequest {
  /** LiveKit's id of the outbound trunk, as ST_abc. */
  readonly trunkId: string;
  readonly to: string;
  /** The number that the callee sees; absent: the trunk's. */
  readonly from: string | undefined;
  readonly room: string;
  readonly identity: string;
  readonly name: string;
  readonly ringS: number;
  /** LiveKit SIP hangs up after this, also when nobody else does. */
  readonly longestS: number;
}

export type DialResult =
  | { readonly is: "answered"; readonly callId: string }
  /** It rang for as long as it may. */
  | { readonly is: "rang out"; readonly reason: string }
  /** The call came to nothing, by the carrier's response or by LiveKit's refusal. */
  | {
      readonly is: "refused";
      readonly sipCode?: number;
      readonly reason: string;
      /** Set when LiveKit would refuse it again. */
      readonly permanent?: true;
    }
  /** Not one byte of the request went out. */
  | { readonly is: "not sent"; readonly reason: string }
  /** It may have been dialled, and may ring or be answered now. */
  | { readonly is: "unconfirmed"; readonly reason: string };

/** LiveKit SIP's word for the callee's line. */
export interface Callee {
  readonly status: "dialing" | "ringing" | "automation" | "active" | "hangup" | "unknown";
  readonly callId?: string;
}

export interface SipCalls {
  /** Dials once, whatever happens, and answers when somebody answered or nobody will. */
  dial(call: DialRequest): Promise<DialResult>;
  /** How a callee stands in the room; undefined when they aren't there. @throws GreenroomError livekit_unavailable */
  observe(room: string, identity: string): Promise<Callee | undefined>;
}

const CALL_ID = "sip.callID";
const STATUSES = ["dialing", "ringing", "automation", "active", "hangup"] as const;
/** LiveKit's server gives up waiting for an answer 80 s after it was asked. */
export const RING_S_MAX = 70;
/** On top of the ringing: what a connection to the carrier takes, and its end. */
const SETUP_S = 10;

export function connectSipCalls({
  url,
  apiKey,
  apiSecret,
}: Pick<LiveKit, "url" | "apiKey" | "apiSecret">): SipCalls {
  const api = url.replace(/^ws/, "http");
  // By itself the SDK sends a request to LiveKit Cloud's next region when an answer is lost: that dials again.
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
        const status = STATUSES.find((one) => one === attributes[CALL_STATUS]) ?? "unknown";
        const callId = attributes[CALL_ID];
        return { status, ...(callId === undefined ? {} : { callId }) };
      } catch (error) {
        if (error instanceof TwirpError && error.code === "not_found") return undefined;
        throw new GreenroomError(
          "livekit_unavailable",
          `looking for ${identity} in ${room}: LiveKit said "${messageOf(error)}".`,
          { cause: error },
        );
      }
    },
  };
}

/** The ids of LiveKit's outbound trunks. @throws Error when LiveKit can't tell, as one without SIP */
export async function outboundTrunks({
  url,
  apiKey,
  apiSecret,
}: Pick<LiveKit, "url" | "apiKey" | "apiSecret">): Promise<string[]> {
  const client = new SipClient(url.replace(/^ws/, "http"), apiKey, apiSecret, { requestTimeout: 5 });
  return (await client.listSipOutboundTrunk()).map(({ sipTrunkId }) => sipTrunkId);
}

/** LiveKit refuses so before it asks LiveKit SIP, and LiveKit SIP before it sends an INVITE; it would again. */
const REFUSALS = [
  "invalid_argument",
  "malformed",
  "not_found",
  "permission_denied",
  "unauthenticated",
  "unimplemented",
  "bad_route",
];

/** What stands in the words of errors that came to nothing; looked up in livekit-server 1.13 and livekit-sip. */
const NOTHING_DIALLED = [
  "sip not connected",
  "no response from servers",
  "cpu exhausted",
  // The trunk answered the INVITE with nothing at all.
  "transaction failed to complete (0 intermediate responses)",
];

/** Errors of a connection that was never made. */
const NEVER_SENT = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
];

/**
 * What becomes of a call by the error that dialling ended in. With `waitUntilAnswered` a carrier's response comes as
 * a Twirp error, whose metadata has its SIP status.
 */
export function dialFailureOf(error: unknown): Exclude<DialResult, { is: "answered" }> {
  if (!(error instanceof TwirpError)) {
    const code = (error as { cause?: { code?: string } }).cause?.code ?? "";
    if (NEVER_SENT.includes(code)) return { is: "not sent", reason: `LiveKit can't be reached: ${code}` };
    return { is: "unconfirmed", reason: `LiveKit gave no answer to the call: ${code || messageOf(error)}` };
  }
  const { code = "", metadata, message } = error;
  const sipCode = Number(metadata?.sip_status_code ?? Number.NaN);
  if (Number.isInteger(sipCode))
    return { is: "refused", sipCode, reason: `SIP ${sipCode} ${metadata?.sip_status ?? ""}`.trim() };
  const reason = `LiveKit said: ${code} ${message}`.slice(0, 240);
  if (code === "canceled" && message.includes("sip request timed out")) return { is: "rang out", reason };
  if (NOTHING_DIALLED.some((words) => message.includes(words))) return { is: "refused", reason };
  if (REFUSALS.includes(code)) return { is: "refused", reason, permanent: true };
  return { is: "unconfirmed", reason };
}
