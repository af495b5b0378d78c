// A LiveKit room for one of many agents in a process. It handles only its own events, and connects once.
import { type JobContext, runWithJobContext } from "@livekit/agents";
import { Room, RoomEvent, type RoomOptions } from "@livekit/rtc-node";

interface FfiEvent {
  readonly message: {
    readonly case?: string;
    readonly value?: { readonly roomHandle?: bigint; readonly localParticipantHandle?: bigint };
  };
}

interface Emitter {
  off(event: string, listener: unknown): unknown;
}

/** Private parts of Room that this class uses. */
interface RoomInside {
  onFfiEvent: (event: FfiEvent) => Promise<void>;
  ffiHandle?: { readonly handle: bigint };
}

/**
 * In the library every Room takes a lock for every event of every room in the process, so the cost grows with rooms ×
 * events. This class drops the events of other rooms before the lock.
 *
 * The room of a hot agent is connected before its job begins. The agent's own `connect` then returns at once.
 */
export class JobRoom extends Room {
  /** Called once the room is connected. */
  onConnected: (() => void) | undefined;
  #job: JobContext | undefined;

  constructor() {
    super();
    const inside = this as unknown as RoomInside;
    const handle = inside.onFfiEvent;
    inside.onFfiEvent = async (event) => {
      if (!isFor(event, inside.ffiHandle?.handle, this.localParticipant?.ffi_handle.handle)) return;
      // Native callbacks have no async context. Without this, the handlers of room events would run without a job.
      await (this.#job === undefined ? handle(event) : runWithJobContext(this.#job, () => handle(event)));
    };
  }

  /** Handles the room's events in the context of a job, for its log, its errors and getJobContext(). */
  belongTo(job: JobContext): void {
    this.#job = job;
  }

  override async connect(url: string, token: string, options?: RoomOptions): Promise<void> {
    if (this.isConnected) {
      this.#applyLate(options);
      return;
    }
    await super.connect(url, token, options);
    this.onConnected?.();
  }

  /**
   * Frees the resources of the room, since the process serves many more sessions. The library frees a track, with a
   * thread and some megabytes, when the garbage collector finds it, which may take hours. After the server has closed the
   * room, the library's `disconnect` does nothing: its client would keep a reference to the room for ever.
   */
  override async disconnect(): Promise<void> {
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

  /** A standby room was connected with autoSubscribe. For an agent without autoSubscribe it is undone. */
  #applyLate(options: RoomOptions | undefined): void {
    if (options?.autoSubscribe !== false) return;
    for (const participant of this.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) publication.setSubscribed(false);
    }
    this.on(RoomEvent.TrackPublished, (publication) => publication.setSubscribed(false));
  }
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
