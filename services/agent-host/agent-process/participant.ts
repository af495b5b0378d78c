// The agent's participant in its room, with what LiveKit's worker and the file's requestFunc give it.
import type { JobAcceptArguments } from "@livekit/agents";
import type { LocalParticipant } from "@livekit/rtc-node";
import { createTokens } from "../../../libs/livekit/tokens.ts";
import type { JobRequest, ProcessStart } from "../pool/messages.ts";

/** The agent joins at once. LiveKit renews the token while the agent is connected. */
const TOKEN_TTL_S = 60;

/** The attributes by which LiveKit's clients find an agent. LiveKit's server adds the second spelling. */
const nameAttributes = (agentName: string): Record<string, string> => ({
  "lk.agent.name": agentName,
  "lk.agent_name": agentName,
});

/** Names an agent whose token comes from the dispatcher or from its host, which don't know the name of the file. */
export async function showName(participant: LocalParticipant | undefined, agentName: string): Promise<void> {
  const attributes = nameAttributes(agentName);
  const isNamed = Object.keys(attributes).every((key) => participant?.attributes[key] === attributes[key]);
  if (!isNamed) await participant?.setAttributes({ ...participant.attributes, ...attributes });
}

export interface OwnParticipant {
  readonly identity: string;
  readonly token: string;
}

/**
 * The participant that the file's requestFunc asks for, or undefined if it leaves everything to its server.
 *
 * LiveKit disconnects the older of two participants with one identity. The identity of the file is therefore followed
 * by the session and its attempt (I8).
 *
 * @param room the name of the room to join
 */
export async function ownParticipant(
  { livekitApiKey, livekitApiSecret }: ProcessStart,
  { sessionId, attempt }: Pick<JobRequest, "sessionId" | "attempt">,
  room: string,
  agentName: string,
  accepted: JobAcceptArguments,
): Promise<OwnParticipant | undefined> {
  const id = `${sessionId}-${attempt}`;
  const { name, metadata, attributes = {} } = accepted;
  const wanted = accepted.identity === "" ? `agent-${id}` : accepted.identity;
  const isDefault = wanted === `agent-${id}`;
  if (isDefault && name === "" && metadata === "" && Object.keys(attributes).length === 0) return undefined;
  const identity = isDefault ? wanted : `${wanted}-${id}`;
  const token = await createTokens(livekitApiKey, livekitApiSecret).forAgent({
    room,
    identity,
    ...(name === "" ? {} : { name }),
    metadata,
    attributes: { ...attributes, ...nameAttributes(agentName) },
    ttlS: TOKEN_TTL_S,
  });
  return { identity, token };
}
