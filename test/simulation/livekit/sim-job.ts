// A job of a simulated worker of LiveKit's agent framework: a process of its own that joins, serves and leaves.
import type { DispatchJob } from "../../../libs/livekit/agent-dispatch.ts";
import type { ProcessClock } from "../../kit/sim-clock.ts";
import type { Facts } from "../checks/facts.ts";
import type { Misbehaviour } from "../scenario.ts";
import type { Trace } from "../trace.ts";
import type { Gone, Guest, SimLiveKit } from "./sim-livekit.ts";

/** The attempt of a dispatch, from its metadata. */
export interface MadeFor {
  readonly tenant: string;
  readonly sessionId: string;
  readonly attempt: number;
}

/** The part of a dispatch that its job knows. */
export interface DispatchRequest {
  readonly room: string;
  readonly agentName: string;
  readonly madeFor: MadeFor;
}

export interface JobWorld {
  readonly livekit: SimLiveKit;
  readonly facts: Facts;
  readonly trace: Trace;
  readonly clock: ProcessClock;
  /** Whether this LiveKit reports that jobs have ended; the open-source server doesn't. */
  readonly reportsEnds: boolean;
  monotonic(): number;
  dice(what: keyof Misbehaviour): boolean;
  between(from: number, to: number): number;
}

const LONGEST_TALK_MS = 8000;
/** The pause before an agent retries to join its room, like the SDK. */
const JOIN_RETRY_MS = 1000;
const MAX_TRIES = 4;

export class SimJob {
  readonly id: string;
  /** The agent's identity in LiveKit's form; never used twice. */
  readonly identity: string;
  readonly listedAtMs: number;
  readonly dispatch: DispatchRequest;
  readonly #world: JobWorld;
  readonly #attributes: Record<string, string>;
  #guest: Guest | undefined;
  #isOver = false;
  #isHung = false;
  #isRefused = false;
  #responsiveSinceMs = 0;
  #status: DispatchJob["status"] = "running";
  #error = "";

  /** @param startsInMs until the job's process starts */
  constructor(
    number: number,
    dispatch: DispatchRequest,
    startsInMs: number,
    listedAtMs: number,
    world: JobWorld,
  ) {
    this.id = `AJ_${number}`;
    this.identity = `agent-${this.id}`;
    this.listedAtMs = listedAtMs;
    this.dispatch = dispatch;
    this.#world = world;
    this.#attributes = { "lk.agent_name": dispatch.agentName };
    world.clock.after(startsInMs, () => this.#join(MAX_TRIES));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Defined while the job is in a room. */
  get guest(): Guest | undefined {
    return this.#guest;
  }

  /** The job in LiveKit's listing, where a refusal has no agent. */
  listing(): DispatchJob {
    if (this.#isRefused) return { identity: "", status: "succeeded", error: "" };
    const { identity } = this;
    return this.#world.reportsEnds
      ? { identity, status: this.#status, error: this.#error }
      : { identity, status: "running", error: "" };
  }

  /** The worker refuses the job, and LiveKit offers it to no other worker. */
  refuse(): void {
    this.#isRefused = true;
    this.#finish("succeeded");
  }

  /** Leaves because the dispatch was deleted; a job whose process has not started doesn't notice. */
  askToLeave(): void {
    const { between, clock } = this.#world;
    if (this.#guest !== undefined) clock.after(between(1, 400), () => this.#leave());
  }

  die(reason: string): void {
    if (this.#isOver) return;
    this.#world.trace.note(this.id, `is dead (${reason})`);
    if (this.#guest !== undefined) this.#world.livekit.vanish(this.dispatch.room, this.#guest);
    this.#finish("failed", "its process died");
    this.#world.clock.kill();
  }

  hang(): void {
    if (this.#isOver || this.#isHung) return;
    this.#world.trace.note(this.id, "hangs");
    this.#isHung = true;
    this.#world.clock.pause();
  }

  resume(): void {
    if (this.#isHung) this.#responsiveSinceMs = this.#world.monotonic();
    this.#isHung = false;
    this.#world.clock.resume();
  }

  #join(tries: number): void {
    const { dice } = this.#world;
    if (this.#isOver) return;
    if (dice("throws")) this.#finish("failed", "Error: entry threw");
    // The job never joins and never fails.
    else if (dice("staysOut")) this.#finish("running");
    else this.#enter(tries);
  }

  #enter(tries: number): void {
    const { between, clock, livekit } = this.#world;
    const token = JSON.stringify({ room: this.dispatch.room, identity: this.identity });
    const entered = livekit.enter(token, ({ identity }) => this.#asGuest(identity));
    if (entered === undefined) {
      if (tries > 1) clock.after(JOIN_RETRY_MS, () => this.#join(tries - 1));
      else this.#finish("failed", "could not connect to the room");
      return;
    }
    this.#guest = entered.guest;
    const { sessionId, attempt } = this.dispatch.madeFor;
    const serving = { sessionId, attempt, slot: this.id, host: "workers", isExternal: true as const };
    this.#world.facts.onServes(this.dispatch.room, entered.guest, serving);
    clock.after(between(5, 400), () => this.#start());
  }

  #asGuest(identity: string): Guest {
    return {
      identity,
      isAgent: true,
      owner: this.id,
      joinedAtMs: this.#world.monotonic(),
      attributes: () => this.#attributes,
      responsiveSinceMs: () => this.#responsiveSinceMs,
      isResponsive: () => !this.#isOver && !this.#isHung,
      onOut: (reason) => this.#onOut(reason),
      onHumans: () => {},
    };
  }

  /** Plays the user's agent file, once the job is in the room. */
  #start(): void {
    if (this.#isOver) return;
    const { dice } = this.#world;
    if (dice("dies")) this.die("a bug in the agent");
    else if (dice("hangs")) this.hang();
    else this.#serve();
  }

  #serve(): void {
    const { between, clock, dice } = this.#world;
    this.#attributes["lk.agent.state"] = "initializing";
    if (!dice("neverReady")) clock.after(between(1, 600), () => this.#ready());
    if (dice("endsItself")) clock.after(between(0, LONGEST_TALK_MS), () => this.#end());
  }

  #ready(): void {
    if (this.#isOver) return;
    this.#attributes["lk.agent.state"] = "listening";
    this.#world.facts.onReportedReadyAs(this.identity);
  }

  /** Half of the agents report their end before they leave. */
  #end(): void {
    if (this.#isOver) return;
    const { between, clock } = this.#world;
    if (between(0, 1) < 0.5) this.#attributes["greenroom.ended"] = "the agent said goodbye";
    clock.after(between(1, 1500), () => this.#leave());
  }

  #leave(): void {
    if (this.#isOver || this.#guest === undefined) return;
    this.#world.livekit.leave(this.dispatch.room, this.#guest);
    this.#finish("succeeded");
  }

  #onOut(reason: Gone): void {
    this.#finish(reason === "room_deleted" || reason === "removed" ? "succeeded" : "failed", reason);
  }

  #finish(status: DispatchJob["status"], error = ""): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#guest = undefined;
    this.#status = status;
    this.#error = status === "failed" ? error : "";
  }
}
