// A simulated room for LIVEKIT_MOCK_MODE. It contains one imaginary user.
import {
  ConnectionState,
  type LocalParticipant,
  ParticipantKind,
  type RemoteParticipant,
  RoomEvent,
} from "@livekit/rtc-node";
import { JobRoom } from "./room.ts";

/** An object whose methods all succeed and do nothing. */
function puppet(own: Record<string, unknown>): object {
  return new Proxy(own, {
    get(target, name) {
      if (name in target) return target[name as string];
      if (name === "then") return undefined; // Otherwise `await` takes the object for a promise.
      return async () =>
        puppet({ sid: "simulated", close: async () => {}, waitForSubscription: async () => {} });
    },
  });
}

export class SimulatedRoom extends JobRoom {
  readonly #name: string;
  readonly #identity: string;
  #connected = false;

  constructor(name: string, identity: string) {
    super();
    this.#name = name;
    this.#identity = identity;
  }

  override get name(): string {
    return this.#name;
  }

  override get isConnected(): boolean {
    return this.#connected;
  }

  override get connectionState(): ConnectionState {
    return this.#connected ? ConnectionState.CONN_CONNECTED : ConnectionState.CONN_DISCONNECTED;
  }

  override async getSid(): Promise<string> {
    return "RM_simulated";
  }

  override async connect(): Promise<void> {
    if (this.#connected) return;
    this.#connected = true;
    this.localParticipant = puppet({
      identity: this.#identity,
      attributes: {},
      metadata: "",
      trackPublications: new Map(),
    }) as LocalParticipant;
    const user = puppet({
      identity: "simulated-user",
      name: "simulated user",
      attributes: {},
      trackPublications: new Map(),
      info: { kind: ParticipantKind.STANDARD },
    }) as RemoteParticipant;
    this.remoteParticipants.set("simulated-user", user);
    this.emit(RoomEvent.ConnectionStateChanged, ConnectionState.CONN_CONNECTED);
    this.onConnected?.();
  }

  override async disconnect(): Promise<void> {
    if (!this.#connected) return;
    this.#connected = false;
    this.emit(RoomEvent.ConnectionStateChanged, ConnectionState.CONN_DISCONNECTED);
    this.removeAllListeners();
  }
}
