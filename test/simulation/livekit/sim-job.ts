// One job of a simulated worker of LiveKit's agent framework: a process of its own that comes, serves and goes.
import type { DispatchJob } from "../../../libs/livekit/agent-dispatch.ts";
import type { ProcessClock } from "../../kit/sim-clock.ts";
import type { Facts } from "../checks/facts.ts";
import type { Misbehaviour } from "../scenario.ts";
import type { Trace } from "../trace.ts";
import type { Gone, Guest, SimLiveKit } from "./sim-livekit.ts";

/** What a dispatch was made for, by its metadata. */
export interface MadeFor {
  readonly tenant: string;
  readonly sessionId: string;
  readonly attempt: number;
}

/** The dispatch of a job, as far as that knows of it. */
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
  /** Whether this LiveKit tells of the ends of jobs; an open-source one doesn't. */
  readonly tellsEnds: boolean;
  monotonic(): number;
  dice(what: keyof Misbehaviour): boolean;
  between(from: number, to: number): number;
}

const LONGEST_TALK_MS = 8000;
/** An agent that couldn't get into its room tries again, as the SDK does. */
const COME_AGAIN_MS = 1000;
const TRIES = 4;

export class SimJob {
  readonly id: string;
  /** Of its agent, as LiveKit gives it; never used twice. */
  readonly identity: string;
  readonly listedAtMs: number;
  readonly dispatch: DispatchRequest;
  readonly #world: JobWorld;
  readonly #attributes: Record<string, string>;
  #guest: Guest | undefined;
  #isOver = false;
  #isHung = false;
  #hearsSinceMs = 0;
  #status: DispatchJob["status"] = "running";
  #error = "";

  /** @param startsInMs until its process has its turn */
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
    world.clock.after(startsInMs, () => this.#come(TRIES));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** While it is in a room. */
  get guest(): Guest | undefined {
    return this.#guest;
  }

  /** What LiveKit tells of it. */
  toldAs(): Pick<DispatchJob, "status" | "error"> {
    return this.#world.tellsEnds
      ? { status: this.#status, error: this.#error }
      : { status: "running", error: "" };
  }

  /** Its worker refused it, and wants nobody else to be asked. */
  refuse(): void {
    this.#finish("succeeded");
  }

  /** Its dispatch was taken back. One whose process has not begun doesn't hear of it. */
  tellToGo(): void {
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
    if (this.#isHung) this.#hearsSinceMs = this.#world.monotonic();
    this.#isHung = false;
    this.#world.clock.resume();
  }

  #come(tries: number): void {
    const { dice } = this.#world;
    if (this.#isOver) return;
    if (dice("throws")) this.#finish("failed", "Error: entry threw");
    // Never gets in, and never says so.
    else if (dice("staysOut")) this.#finish("running");
    else this.#enter(tries);
  }

  #enter(tries: number): void {
    const { between, clock, livekit } = this.#world;
    const pass = JSON.stringify({ room: this.dispatch.room, identity: this.identity });
    const entered = livekit.enter(pass, ({ identity }) => this.#asGuest(identity));
    if (entered === undefined) {
      if (tries > 1) clock.after(COME_AGAIN_MS, () => this.#come(tries - 1));
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
      hearsSinceMs: () => this.#hearsSinceMs,
      canHear: () => !this.#isOver && !this.#isHung,
      onOut: (reason) => this.#onOut(reason),
      onHumans: () => {},
    };
  }

  /** What the user's file does once it is in the room. */
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
    this.#world.facts.onSaysReadyAs(this.identity);
  }

  /** Some say so before they leave; the others just leave. */
  #end(): void {
    if (this.#isOver) return;
    const { between, clock } = this.#world;
    if (between(0, 1) < 0.5) this.#attributes["greenroom.ended"] = "it said goodbye";
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
