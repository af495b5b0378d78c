// Rooms and their participants: the interface that services use. LiveKit's API or a simulation implements it.

export interface RoomInfo {
  readonly name: string;
  /** Seconds since 1970, on LiveKit's clock. */
  readonly createdAtS: number;
  readonly participants: number;
}

export interface ParticipantInfo {
  readonly identity: string;
  readonly isAgent: boolean;
  /** Attributes that the participant published, if known, for example `lk.agent.state`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** In ms since 1970 on LiveKit's clock. Compare it with LiveKit's own times only. */
  readonly joinedAtMs?: number;
}

export interface RoomOptions {
  /** How long an empty room remains that nobody has joined. */
  readonly emptyTimeoutS: number;
  /** How long the room remains after the last human left. */
  readonly departureTimeoutS: number;
}

export interface Rooms {
  /** Creates a room. An existing one remains unchanged. @throws GreenroomError livekit_unavailable */
  create(room: string, options: RoomOptions): Promise<void>;
  /** Removes all participants and the room. Succeeds if missing. @throws GreenroomError livekit_unavailable */
  delete(room: string): Promise<void>;
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

/** The grants and lifetime of a token. */
export interface TokenRequest {
  readonly room: string;
  readonly identity: string;
  readonly name?: string;
  readonly metadata?: string;
  readonly attributes?: Record<string, string>;
  readonly ttlS: number;
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
