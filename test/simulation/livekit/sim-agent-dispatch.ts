// LiveKit's agent dispatch as a simulation plays it: made, listed and taken back over an API that fails.
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
  /** One is about to be made. */
  onDispatch(madeFor: MadeFor): void;
  /** It was made; the workers hear of it. */
  launch(dispatch: SimDispatch): void;
}

/** How long an agent that is told to go may take; then the server puts it out. */
const LEAVE_WITHIN_MS = 3000;

export class SimDispatches {
  readonly #clock: Clock;
  readonly #livekit: SimLiveKit;
  readonly #watch: DispatchWatch;
  /** By room: with it they are gone. */
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

  /** The API for one process, whose clock the answers come on. */
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
        livekit.call(process, clock, `taking the dispatch ${id} back`, () => this.#delete(room, id)),
      askClient: async (room, identity, withinMs) => {
        try {
          const guest = await livekit.call(process, clock, `asking ${identity} in ${room}`, () =>
            livekit.listed(room, identity),
          );
          if (guest === undefined) return "silent";
          if (livekit.canBeAsked(room, guest)) return "responds";
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
    const listed = jobs.flatMap((job): DispatchJob[] =>
      job.listedAtMs > now ? [] : [{ identity: job.identity, ...job.toldAs() }],
    );
    return { id, agentName, metadata, createdAtMs, jobs: listed };
  }

  /** As the server does it: its agents are told to go; a job whose process waits its turn comes all the same. */
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
      job.tellToGo();
      if (guest === undefined) continue;
      this.#clock.after(LEAVE_WITHIN_MS, () => this.#livekit.removeGuest(room, guest));
    }
  }
}
