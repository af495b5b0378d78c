// Messages and attributes of agents in a room, for its users and LiveKit's server API.
import { z } from "zod";
import { SessionId } from "../ids.ts";

/** Topic of the data message that notifies participants that their agent is ready. */
export const READY_TOPIC = "greenroom";

/** The agent's attribute for participants who join after the message. Its value is the attempt. */
export const READY_ATTRIBUTE = "greenroom.ready";

/** The attribute of a user whose page reads transcripts already, so that they need not wait. Its value does not matter. */
export const LISTENING_ATTRIBUTE = "greenroom.listening";

/**
 * The attribute with the call status of a SIP participant, set by LiveKit SIP: dialing, ringing, automation (keys are
 * sent after the answer), active, hangup. The participant is in the room from the start of dialing.
 */
export const CALL_STATUS = "sip.callStatus";
export const ANSWERED = "active";

/**
 * The LiveKit RPC method that an agent answers while it serves a session. LiveKit lists a participant for up to half a
 * minute after its process died; an answer proves that the agent is alive.
 */
export const ALIVE_METHOD = "greenroom.alive";

/** Payload of the answer, in JSON. */
export const AliveAnswer = z.object({ sessionId: SessionId, attempt: z.number().int().positive() });
export type AliveAnswer = z.infer<typeof AliveAnswer>;
