// What an agent says in its room, where its users and LiveKit's server API can hear it.
import { z } from "zod";
import { SessionId } from "../ids.ts";

/** A data message under this topic tells people in the room that their agent is ready. */
export const READY_TOPIC = "greenroom";

/** The agent's attribute that says the same to those who come later; its value is the attempt. */
export const READY_ATTRIBUTE = "greenroom.ready";

/**
 * The attribute of a SIP participant that says how its line stands, as LiveKit SIP sets it: dialing, ringing,
 * automation (keys are sent after the answer), active, hangup. The participant is in the room from the dialling on.
 */
export const CALL_STATUS = "sip.callStatus";
export const ANSWERED = "active";

/**
 * The LiveKit RPC method that an agent answers while it serves a session. LiveKit lists a participant for up to
 * half a minute after its process died: one that answers is no ghost.
 */
export const ALIVE_METHOD = "greenroom.alive";

/** The answer's payload, as JSON text. */
export const AliveAnswer = z.object({ sessionId: SessionId, attempt: z.number().int().positive() });
export type AliveAnswer = z.infer<typeof AliveAnswer>;
