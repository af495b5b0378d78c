// A LiveKit room for one of many agents in a process: it hears only its own events, and connects once.
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

/** The parts of Room that its types keep private and that this class has to reach. */
interface RoomInside {
  onFfiEvent: (event: FfiEvent) => Promise<void>;
  ffiHandle?: { readonly handle: bigint };
}

/**
 * In the library every Room takes a lock for every event of every room in the process, so the cost grows
 * with rooms × events. Here events of others are dropped before the lock.
 *
 * A room may be connected before its job comes (a hot agent): then the agent's own `connect` finds it done.
 */
export class JobRoom extends Room {
  /** Called when the connection stands, by whoever made it. */
  onConnected: (() => void) | undefined;
  #job: JobContext | undefined;

  constructor() {
    super();
    const inside = this as unknown as RoomInside;
    const handle = inside.onFfiEvent;
    inside.onFfiEvent = async (event) => {
      if (!isFor(event, inside.ffiHandle?.handle, this.localParticipant?.ffi_handle.handle)) return;
      // Native callbacks come from nowhere: without this, what an agent does in a room event would have no job.
      await (this.#job === undefined ? handle(event) : runWithJobContext(this.#job, () => handle(event)));
    };
  }

  /** From now on this room's events belong to that job: its log lines, its errors, its getJobContext(). */
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
   * In a process that serves many sessions, what one leaves behind has to be freed. The library frees an agent's
   * track, with a thread and some megabytes, when the garbage collector comes upon it, which sees a few bytes only
   * and may take hours. And once the server has closed the room the library's own does nothing: its client would go
   * on telling the room of every event of the process, and so keep it and all that belongs to it for ever.
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

  /** A hot room was connected with autoSubscribe; an agent that wants none gets none. */
  #applyLate(options: RoomOptions | undefined): void {
    if (options?.autoSubscribe !== false) return;
    for (const participant of this.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) publication.setSubscribed(false);
    }
    this.on(RoomEvent.TrackPublished, (publication) => publication.setSubscribed(false));
  }
}

/** Before a handle is known the library keeps events back and sorts them out itself. */
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
