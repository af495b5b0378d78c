// A LiveKit room for one of many agents in a process. It handles only its own events, and connects once.
import { isDeepStrictEqual } from "node:util";
import { type JobContext, runWithJobContext } from "@livekit/agents";
import { DisconnectReason, Room, RoomEvent, type RoomOptions } from "@livekit/rtc-node";
import type { LiveKitRoom } from "../../../libs/contracts/fleet/host.ts";

/** The options of a standby room: LiveKit's defaults. */
export const STANDBY_OPTIONS: RoomOptions = { autoSubscribe: true, dynacast: false };

interface FfiEvent {
  readonly message: {
    readonly case?: string;
    readonly value?: {
      readonly roomHandle?: bigint;
      readonly localParticipantHandle?: bigint;
      readonly message?: {
        readonly case?: string;
        readonly value?: { readonly participantIdentity?: string };
      };
    };
  };
}

interface Emitter {
  off(event: string, listener: unknown): unknown;
}

/** Private parts of Room that this class uses. */
interface RoomInside {
  info?: { readonly sid?: string };
  onFfiEvent: (event: FfiEvent) => Promise<void>;
  ffiHandle: { readonly handle: bigint } | undefined;
  localParticipant: object | undefined;
}

/**
 * In the library every Room takes a lock for every event of every room in the process, so the cost grows with rooms ×
 * events. This class drops the events of other rooms before the lock.
 *
 * The room of a hot agent is connected before its job begins. The agent's own `connect` then returns at once, unless its
 * options are other ones, for example with end-to-end encryption.
 */
export class JobRoom extends Room {
  /** Called once the room is connected. */
  onConnected: (() => void) | undefined;
  /** Called once the room is connected again, with the options of the agent's own `connect`. */
  onReconnected: (() => void) | undefined;
  /** LiveKit's description of the room at its creation, for `ctx.job.room`. */
  described: LiveKitRoom | undefined;
  /** Why the last connection could not be made. */
  connectError: unknown;
  /** The options of the present connection. */
  #options: object = {};
  /** Whether the agent has chosen them. LiveKit then ignores the options of a later `ctx.connect`. */
  #isChosen = false;
  #isReconnecting = false;
  /** Whether the room was left, also while it was connecting. */
  #isLeft = false;
  #job: JobContext | undefined;
  /** Events with data from unknown participants, in order. */
  #early: FfiEvent[] = [];

  constructor() {
    super();
    const inside = this as unknown as RoomInside;
    const handleEvent = inside.onFfiEvent;
    // Native callbacks have no async context. Without this, the handlers of room events would run without a job.
    const handle = (event: FfiEvent) =>
      this.#job === undefined ? handleEvent(event) : runWithJobContext(this.#job, () => handleEvent(event));
    inside.onFfiEvent = async (event) => {
      if (!isFor(event, inside.ffiHandle?.handle, this.localParticipant?.ffi_handle.handle)) return;
      if (this.#isEarly(event)) {
        this.#early.push(event);
        setTimeout(() => this.#deliverEarly(handle, (one) => one === event), EARLY_MS).unref();
        return;
      }
      await handle(event);
      await this.#deliverEarly(handle, (one) => this.remoteParticipants.has(senderOf(one) ?? ""));
    };
  }

  /**
   * LiveKit announces a participant without tracks up to three seconds late, and the library and its AgentSession drop
   * what an unknown participant sends. So the first words of somebody who writes at once wait for the announcement.
   */
  #isEarly(event: FfiEvent): boolean {
    const sender = senderOf(event) ?? "";
    if (sender === "" || sender === this.localParticipant?.identity) return false;
    return !this.remoteParticipants.has(sender) || this.#early.some((one) => senderOf(one) === sender);
  }

  async #deliverEarly(
    handle: (event: FfiEvent) => Promise<void>,
    isDue: (event: FfiEvent) => boolean,
  ): Promise<void> {
    const due = this.#early.filter(isDue);
    this.#early = this.#early.filter((event) => !due.includes(event));
    for (const event of due) await handle(event);
  }

  /** Empty while LiveKit has not sent it. */
  get sid(): string {
    return (this as unknown as RoomInside).info?.sid ?? "";
  }

  /** Handles the room's events in the context of a job, for its log, its errors and getJobContext(). */
  belongTo(job: JobContext): void {
    this.#job = job;
  }

  /** An AgentSession starts in the room. LiveKit would connect it with the default options. */
  sessionStarting(): void {
    if (this.isConnected) this.#isChosen = true;
  }

  override async connect(url: string, token: string, options?: RoomOptions): Promise<void> {
    const wanted = withDefaults(options);
    if (!this.isConnected) {
      this.#isLeft = false;
      this.#options = wanted;
      this.#isChosen = this.#job !== undefined;
      try {
        await super.connect(url, token, options);
      } catch (error) {
        this.connectError = error;
        throw error;
      }
      if (this.#isLeft) await this.disconnect();
      else this.onConnected?.();
    } else {
      const mayReconnect = !this.#isChosen || isEncrypted(options);
      this.#isChosen = true;
      if (!mayReconnect || isDeepStrictEqual(wanted, this.#options)) return;
      this.#options = wanted;
      await this.#reconnect(url, this.token ?? "", options);
    }
  }

  /** Hides from the agent that it leaves the room for a moment. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (this.#isReconnecting && HIDDEN.has(event)) return false;
    return (super.emit as (event: string | symbol, ...args: unknown[]) => boolean)(event, ...args);
  }

  /** The library removes the listeners of a room that is left. */
  override removeAllListeners(event?: string | symbol): this {
    return this.#isReconnecting
      ? this
      : (super.removeAllListeners as (event?: string | symbol) => this)(event);
  }

  async #reconnect(url: string, token: string, options: RoomOptions | undefined): Promise<void> {
    const inside = this as unknown as RoomInside;
    this.#isReconnecting = true;
    try {
      await this.#leave();
      this.remoteParticipants.clear();
      // Events of the new connection would not match the old handles.
      inside.ffiHandle = undefined;
      inside.localParticipant = undefined;
      await super.connect(url, token, options);
    } catch (error) {
      this.#isReconnecting = false;
      this.emit(RoomEvent.Disconnected, DisconnectReason.UNKNOWN_REASON);
      throw error;
    }
    this.#isReconnecting = false;
    if (this.#isLeft) await this.disconnect();
    else this.onReconnected?.();
  }

  /**
   * Frees the resources of the room, since the process serves many more sessions. The library frees a track, with a
   * thread and some megabytes, when the garbage collector finds it, which may take hours. After the server has closed the
   * room, the library's `disconnect` does nothing: its client would keep a reference to the room for ever.
   */
  override async disconnect(): Promise<void> {
    this.#isLeft = true;
    await this.#leave();
  }

  async #leave(): Promise<void> {
    const publications = [...(this.localParticipant?.trackPublications.values() ?? [])];
    const tracks = publications.flatMap(({ track }) => track ?? []);
    try {
      await super.disconnect();
    } finally {
      for (const track of tracks) await track.close().catch(() => {});
      const client = (globalThis as { _ffiClientInstance?: Emitter })._ffiClientInstance;
      client?.off("ffi_event", (this as unknown as RoomInside).onFfiEvent);
    }
  }
}

const HIDDEN = new Set<string | symbol>([RoomEvent.Disconnected, RoomEvent.ConnectionStateChanged]);

/** All options with which a room is connected. An undefined option counts as left out. */
const withDefaults = (options: Partial<RoomOptions> = {}): object => ({
  ...DEFAULTS,
  ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
});

/** LiveKit's defaults. Its types leave the last two out. */
const DEFAULTS = { ...STANDBY_OPTIONS, adaptiveStream: false, joinRetries: 1 };

const isEncrypted = ({ e2ee, encryption }: Partial<RoomOptions> = {}): boolean =>
  (e2ee ?? encryption) !== undefined;

/** Longer than LiveKit takes to announce a participant. After that, the data is handled as the library does it. */
const EARLY_MS = 5000;
const DATA = new Set<string | undefined>(["dataPacketReceived", "textStreamOpened", "byteStreamOpened"]);

/** The sender of data; undefined for other events, and for data of the server. */
function senderOf({ message }: FfiEvent): string | undefined {
  const event = message.case === "roomEvent" ? message.value?.message : undefined;
  return DATA.has(event?.case) ? event?.value?.participantIdentity : undefined;
}

/** Before a handle is known, the library buffers and sorts the events itself. */
function isFor({ message }: FfiEvent, room: bigint | undefined, participant: bigint | undefined): boolean {
  switch (message.case) {
    case "roomEvent":
      return room === undefined || message.value?.roomHandle === room;
    case "rpcMethodInvocation":
      return participant === undefined || message.value?.localParticipantHandle === participant;
    default:
      return false;
  }
}
