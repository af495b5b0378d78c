// Rooms and who is in them. Services know this interface; LiveKit's API is behind it, or a simulation.

export interface RoomInfo {
  readonly name: string;
  /** Seconds since 1970, on LiveKit's clock. */
  readonly createdAtS: number;
  readonly participants: number;
}

export interface ParticipantInfo {
  readonly identity: string;
  readonly isAgent: boolean;
  /** What it says of itself, where that is known: as `lk.agent.state`. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** ms since 1970 on LiveKit's clock; to be compared with its own times only. */
  readonly joinedAtMs?: number;
}

export interface RoomOptions {
  /** How long a room stays when nobody ever comes. */
  readonly emptyTimeoutS: number;
  /** How long it stays after the last human left. */
  readonly departureTimeoutS: number;
}

export interface Rooms {
  /** Makes a room; one that is there already stays as it is. @throws GreenroomError livekit_unavailable */
  create(room: string, options: RoomOptions): Promise<void>;
  /** Puts everybody out and deletes it; no such room is fine. @throws GreenroomError livekit_unavailable */
  delete(room: string): Promise<void>;
  /** @throws GreenroomError livekit_unavailable */
  list(): Promise<RoomInfo[]>;
  /** Who is in a room; empty when there is no such room. @throws GreenroomError livekit_unavailable */
  participants(room: string): Promise<ParticipantInfo[]>;
  /**
   * Whether an agent lives and serves its session, by its own answer: LiveKit lists one whose process was killed
   * or stopped for up to half a minute. A server that can't pass on questions is asked who is listed.
   * @throws GreenroomError livekit_unavailable: then nothing is known
   */
  answers(room: string, identity: string, withinMs: number): Promise<boolean>;
  /** Puts one participant out; no such participant is fine. @throws GreenroomError livekit_unavailable */
  remove(room: string, identity: string): Promise<void>;
}

/** What a token lets its holder do, and for how long. */
export interface TokenRequest {
  readonly room: string;
  readonly identity: string;
  readonly name?: string;
  readonly metadata?: string;
  readonly attributes?: Record<string, string>;
  readonly ttlS: number;
}

export interface Tokens {
  /** A person's: join one room, publish, subscribe, send data; nothing else. */
  forUser(request: TokenRequest): Promise<string>;
  /** An agent's: the same with LiveKit's agent grant, without which a room would not close after its humans left. */
  forAgent(request: TokenRequest): Promise<string>;
}

/** LiveKit as the services use it. */
export interface LiveKit {
  readonly rooms: Rooms;
  readonly tokens: Tokens;
  /** The address for agents, and the one that clients are given. */
  readonly url: string;
  readonly publicUrl: string;
  readonly apiKey: string;
  readonly apiSecret: string;
  /** True when rooms are simulated and nobody can join them. */
  readonly isSimulated: boolean;
}
