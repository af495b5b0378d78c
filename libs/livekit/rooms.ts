// Rooms and their participants: the interface that services use. LiveKit's API or a simulation implements it.
import type { LiveKitRoom } from "../contracts/fleet/host.ts";

export interface RoomInfo {
  readonly name: string;
  /** Seconds since 1970, on LiveKit's clock. */
  readonly createdAtS: number;
  readonly participants: number;
}

export interface ParticipantInfo {
  readonly identity: string;
  readonly isAgent: boolean;
  /** Set for a phone. */
  readonly isPhone?: true;
  /** Set for an ingress, an egress, and a participant that is hidden from the others. */
  readonly isMachine?: true;
  /** Attributes that the participant published, if known, for example `lk.agent.state`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** In ms since 1970 on LiveKit's clock. Compare it with LiveKit's own times only. */
  readonly joinedAtMs?: number;
}

/** Whether a participant is a human, at a client or at a phone. */
export const isPerson = ({ isAgent, isMachine }: Pick<ParticipantInfo, "isAgent" | "isMachine">): boolean =>
  !isAgent && isMachine !== true;

export interface EndedSession {
  /** The identity of the session's agent, which may have become a zombie; `all` removes every agent. */
  readonly agent: string | undefined | "all";
  /** False if a client named the room. The room may then have been there before the session. */
  readonly isOwnRoom: boolean;
  /** Whether no agent could serve the session, or go on with it. */
  readonly hasFailed: boolean;
}

export interface RoomOptions {
  /** How long an empty room remains that nobody has joined. */
  readonly emptyTimeoutS: number;
  /** How long the room remains after the last human left. */
  readonly departureTimeoutS: number;
}

/**
 * LiveKit closes a session's room without people after these times; the janitor enforces the shorter limits. A room keeps
 * the options of its creator, so these unusual ones also show that Greenroom has created it.
 */
export const SESSION_ROOM: RoomOptions = { emptyTimeoutS: 601, departureTimeoutS: 61 };

/** The options of a room that a client may choose, named like LiveKit's. Times are in seconds, delays in ms. */
export interface RoomConfig {
  readonly emptyTimeout?: number;
  readonly departureTimeout?: number;
  readonly maxParticipants?: number;
  readonly metadata?: string;
  readonly minPlayoutDelay?: number;
  readonly maxPlayoutDelay?: number;
  readonly syncStreams?: boolean;
}

export interface Rooms {
  /**
   * Creates a room. Returns LiveKit's description of the room, or undefined if rooms are simulated.
   * @param mayExist keeps the options of an existing room, which costs one more request
   * @throws GreenroomError livekit_unavailable
   */
  create(room: string, options: RoomOptions, mayExist?: boolean): Promise<LiveKitRoom | undefined>;
  /** The options of an existing room, without the ones that LiveKit does not report. @throws GreenroomError livekit_unavailable */
  config(room: string): Promise<RoomConfig | undefined>;
  /** Removes all participants and the room. Succeeds if missing. @throws GreenroomError livekit_unavailable */
  delete(room: string): Promise<void>;
  /**
   * Leaves a room to its people after the end of a session. Only its agent is removed while people are in it. A person
   * alone at a phone is hung up, because nobody else can end the call. A person who is alone in the session's own room
   * after a failure is disconnected, because the silence would look like a slow agent. A room without people is deleted if it is the
   * session's own, or was created with the options SESSION_ROOM. Succeeds if missing.
   * @throws GreenroomError livekit_unavailable
   */
  close(room: string, session: EndedSession): Promise<void>;
  /** @throws GreenroomError livekit_unavailable */
  list(): Promise<RoomInfo[]>;
  /** The participants of a room; empty if the room does not exist. @throws GreenroomError livekit_unavailable */
  participants(room: string): Promise<ParticipantInfo[]>;
  /**
   * Whether an agent answers that it is alive and serves its session. The participant list does not suffice: LiveKit
   * lists an agent for up to half a minute after its process died. If the server can't forward RPCs, the list
   * decides.
   * @throws GreenroomError livekit_unavailable: nothing is known about the agent
   */
  answers(room: string, identity: string, withinMs: number): Promise<boolean>;
  /** Removes one participant. Succeeds if missing. @throws GreenroomError livekit_unavailable */
  remove(room: string, identity: string): Promise<void>;
}

/** The part of an agent's identity that all attempts of its session share. */
const stemOf = (identity: string | undefined): string | undefined => identity?.replace(/-\d+$/, "");

/** Decides what `close` does, from the participants of the room. */
export function decideClose(
  participants: readonly Pick<ParticipantInfo, "identity" | "isAgent" | "isPhone" | "isMachine">[],
  { agent, hasFailed, isOwnRoom }: EndedSession,
): "delete" | { readonly remove: readonly string[] } {
  const people = participants.filter(isPerson);
  const isOwn = ({ identity, isAgent }: { identity: string; isAgent: boolean }): boolean =>
    isAgent && (agent === "all" || stemOf(identity) === stemOf(agent));
  // Another agent may serve the caller now.
  const hasOther = participants.some((participant) => participant.isAgent && !isOwn(participant));
  const isAlone = people.length === 1 && !hasOther;
  const isLonePhone = isAlone && people[0]?.isPhone === true;
  if (isOwnRoom && (people.length === 0 || isLonePhone || (isAlone && hasFailed))) return "delete";
  const leaving = participants.filter(
    (participant) => isOwn(participant) || (isLonePhone && participant.isPhone === true),
  );
  return { remove: leaving.map(({ identity }) => identity) };
}

/** The grants and lifetime of a token. */
export interface TokenRequest {
  readonly room: string;
  readonly identity: string;
  readonly name?: string;
  readonly metadata?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly ttlS: number;
  /** The options with which LiveKit creates the room if it does not exist when the user joins. */
  readonly roomConfig?: RoomConfig;
}

export interface Tokens {
  /** A user's token: join one room, publish, subscribe and send data, nothing else. */
  forUser(request: TokenRequest): Promise<string>;
  /** An agent's token: the same, with LiveKit's agent grant, so that the room closes after its humans left. */
  forAgent(request: TokenRequest): Promise<string>;
}

/** A LiveKit deployment, as services use it. */
export interface LiveKit {
  readonly rooms: Rooms;
  readonly tokens: Tokens;
  /** The address for agents; `publicUrl` is the one for clients. */
  readonly url: string;
  readonly publicUrl: string;
  readonly apiKey: string;
  readonly apiSecret: string;
  /** True if rooms are simulated and nobody can join them. */
  readonly isSimulated: boolean;
}
