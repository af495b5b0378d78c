// Simulated agent dispatch of LiveKit: creates, lists and deletes dispatches over an API that fails.
import type { AgentDispatches, DispatchJob } from "../../../libs/livekit/agent-dispatch.ts";
import { type Clock, sleep } from "../../../libs/runtime/clock.ts";
import type { DispatchRequest, MadeFor, SimJob } from "./sim-job.ts";
import type { SimLiveKit } from "./sim-livekit.ts";

export interface SimDispatch extends DispatchRequest {
  readonly id: string;
  readonly metadata: string;
  readonly createdAtMs: number;
  readonly jobs: SimJob[];
}

export interface DispatchWatch {
  /** Called before a dispatch is created. */
  onDispatch(madeFor: MadeFor): void;
  /** Offers a new dispatch to the workers. */
  launch(dispatch: SimDispatch): void;
}

/** How long an agent may take to leave before the server removes it. */
const LEAVE_WITHIN_MS = 3000;

export class SimDispatches {
  readonly #clock: Clock;
  readonly #livekit: SimLiveKit;
  readonly #watch: DispatchWatch;
  /** By room; the end of a room ends its dispatches. */
  readonly #byRoom = new Map<string, SimDispatch[]>();
  #made = 0;

  constructor(clock: Clock, livekit: SimLiveKit, watch: DispatchWatch) {
    this.#clock = clock;
    this.#livekit = livekit;
    this.#watch = watch;
    livekit.onRoomGone = (room) => this.#byRoom.delete(room);
  }

  all(): SimDispatch[] {
    return [...this.#byRoom.values()].flat();
  }

  /** The API for one process, on whose clock the answers arrive. */
  forProcess(process: string, clock: Clock): AgentDispatches {
    const livekit = this.#livekit;
    return {
      create: (room, agentName, metadata) =>
        livekit.call(process, clock, `dispatching ${agentName} to ${room}`, () => {
          const { id } = this.#create(room, agentName, metadata);
          return { is: "created", id };
        }),
      list: (room) =>
        livekit.call(process, clock, `listing the dispatches of ${room}`, () =>
          livekit.has(room) ? (this.#byRoom.get(room) ?? []).map((each) => this.#listed(each)) : undefined,
        ),
      delete: (room, id) =>
        livekit.call(process, clock, `deleting the dispatch ${id}`, () => this.#delete(room, id)),
      askClient: async (room, identity, withinMs) => {
        try {
          const guest = await livekit.call(process, clock, `asking ${identity} in ${room}`, () =>
            livekit.listed(room, identity),
          );
          if (guest === undefined) return "silent";
          if (livekit.isReachable(room, guest)) return "responds";
          await sleep(clock, withinMs);
          return "silent";
        } catch {
          return "unknown";
        }
      },
    };
  }

  #create(room: string, agentName: string, metadata: string): SimDispatch {
    const { greenroom: madeFor } = JSON.parse(metadata) as { greenroom: MadeFor };
    this.#watch.onDispatch(madeFor);
    this.#livekit.ensure(room);
    const dispatch: SimDispatch = {
      id: `AD_${++this.#made}`,
      room,
      agentName,
      metadata,
      madeFor,
      createdAtMs: this.#clock.monotonic(),
      jobs: [],
    };
    this.#byRoom.set(room, [...(this.#byRoom.get(room) ?? []), dispatch]);
    this.#watch.launch(dispatch);
    return dispatch;
  }

  #listed({ id, agentName, metadata, createdAtMs, jobs }: SimDispatch) {
    const now = this.#clock.monotonic();
    const listed = jobs.flatMap((job): DispatchJob[] => (job.listedAtMs > now ? [] : [job.listing()]));
    return { id, agentName, metadata, createdAtMs, jobs: listed };
  }

  /** Asks the dispatch's agents to leave, like the server; a job whose process has not started still joins. */
  #delete(room: string, id: string): void {
    const dispatches = this.#byRoom.get(room) ?? [];
    const dispatch = dispatches.find((each) => each.id === id);
    if (dispatch === undefined) return;
    this.#byRoom.set(
      room,
      dispatches.filter((each) => each !== dispatch),
    );
    for (const job of dispatch.jobs) {
      const { guest } = job;
      job.askToLeave();
      if (guest === undefined) continue;
      this.#clock.after(LEAVE_WITHIN_MS, () => this.#livekit.removeGuest(room, guest));
    }
  }
}
